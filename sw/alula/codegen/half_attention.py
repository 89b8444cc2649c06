"""Attention of half a chunk, head by head, beside what the matrix engine does for the other half.

The rows of a head are one turn, or two that alternate between two copies of the scores: those of a
turn are computed while the SFU is at the turn before, which may be of the head before.
"""

from collections.abc import Callable

from alula.codegen.attention import KEYS, VALUES, Step
from alula.codegen.queries import head_groups
from alula.codegen.scope import Count, Scope
from alula.design import GROUP
from alula.ir import Node
from alula.isa import Engine, Ref


def attend_beside(
    scope: Scope, node: Node, queries: str, beside: Callable[[int, int], None]
) -> None:
    """One stream's attention, a head at a time; register `head` counts from 0.

    All heads' queries are in `queries`. `beside` emits what the matrix engine does in one turn of
    how many.
    """
    emit, heads = scope.emit, scope.graph.architecture.heads
    turns = [_Turn(scope, number, queries) for number in range(scope.buffers.copies)]

    emit.add("head", None, 0)
    emit.number("v_groups")
    turns[0].score_head(0)
    with emit.loop(heads):
        turns[-1].load_factors()
        for number, turn in enumerate(turns):
            turn.soften_scores()
            unit = emit.origin
            if number + 1 < len(turns):
                turns[number + 1].score_head(0)
            beside(number, len(turns))
            emit.origin = unit
            if number == 0:
                with emit.scratch():
                    emit.alu("SSUB", "count", None, emit.reg("head"))
                    emit.add("count", "count", heads - 1)
                    emit.alu("SMIN", "count", "count", 1)
                    another = emit.reg("count")
                with emit.loop(another):
                    turn.score_head(1)
            turn.attend(node.output)
        emit.add("head", "head", 1)


class _Turn(Step):
    """Some rows of each head, with a copy of the scores; there may be none.

    Registers that it needs are free again behind it, but for `v_groups`: of the positions that its
    last row sees.
    """

    def __init__(self, scope: Scope, number: int, queries: str) -> None:
        super().__init__(scope, number, scope.rows, Engine.MM, scope.many)
        (self.query,) = scope.touch(queries)
        self.scales = "scales0"
        self.emit, self.kv = scope.emit, scope.memory.kv
        self.queries, self.most = queries, scope.buffers.attention_rows
        self.before = number * self.most
        self.passes = self.before // scope.design.mpe.tokens
        self.last = number + 1 == scope.buffers.copies
        self.shared = scope.graph.architecture.heads // self.kv.heads

    def place(self, name: str) -> Count:
        """Address of a buffer: queries and probabilities lie behind those of the turn before."""
        activation = self.scope.buffers.activation
        if name == self.query:
            skipped = self.passes * (self.kv.head_dim // GROUP)
            return self.emit.reg("query", self.scope.activation(self.queries) + skipped)
        if name == self.probability:
            start = activation["probability0"]
            return self.emit.reg("group", start) if self.passes else start
        return super().place(name)

    def score_head(self, ahead: int) -> None:
        """Scores of the head so many behind `head`."""
        emit = self.emit
        with emit.scratch():
            self._kv_head("k_stride", ahead)
            self._positions("count")
            emit.ceil_div("part", "count", self.scope.design.rows)
            self.load_keys(emit.reg("address"), emit.reg("part"), KEYS)
        with emit.scratch():
            emit.add("query", "head", ahead)
            emit.alu("SMUL", "query", "query", head_groups(self.scope))
            self._positions("count")
            self._many()
            self.multiply(emit.reg("count"))

    def load_factors(self) -> None:
        """The scales of V, as far as a row of this turn sees."""
        emit = self.emit
        with emit.scratch():
            self._values()
            emit.alu("SMUL", "count", "v_pitch", self.kv.v_blocks)
            emit.add("address", "address", emit.reg("count"))
            self._positions("count")
            emit.ceil_div("count", "count", GROUP)
            emit.alu("SMUL", "count", "count", GROUP)
            self.load_scales(emit.reg("address"), emit.reg("count"), VALUES)

    def soften_scores(self) -> None:
        """Scores to quantised probabilities."""
        emit = self.emit
        self._positions("v_groups")
        emit.ceil_div("v_groups", "v_groups", GROUP)
        with emit.scratch():
            self._rows()
            if cap := self.scope.graph.architecture.attention_cap:
                with emit.scratch():
                    emit.alu("SMUL", "count", "v_groups", self.scope.words(GROUP))
                    self.cap(emit.reg("count"), cap)
            length = emit.reg(self.scope.start, 1 + self.before)
            self.soften(self.place(self.scores), self.place(self.scales), length, causal=True)
            emit.alu("SMUL", "count", "v_groups", GROUP)
            self._group()
            self.quantise_scores(self.place(self.scores), self.probability, emit.reg("count"))

    def attend(self, output: str) -> None:
        """Probabilities times V."""
        emit, scope = self.emit, self.scope
        width = scope.row_words(output)
        with emit.scratch():
            self._values()
            emit.alu("SMUL", "count", "head", scope.words(self.kv.head_dim))
            place = emit.reg("count", scope.vector(output) + self.before * width)
            self._many()
            self._group()
            groups = emit.reg("v_groups")
            self.weigh_part(
                emit.reg("address"), groups, self.probability, output, place, width, VALUES
            )

    def _values(self) -> None:
        """`address`: V of the head."""
        emit = self.emit
        self._kv_head("v_stride", 0)
        emit.alu("SMUL", "count", "k_stride", self.kv.heads)
        emit.add("address", "address", emit.reg("count"))

    def _kv_head(self, stride: str, ahead: int) -> None:
        """`address`: where K of a KV head is, or V but for all of K in front of it."""
        emit = self.emit
        emit.add("address", "head", ahead)
        if self.shared > 1:
            emit.alu("SDIV", "address", "address", self.shared)
        emit.alu("SMUL", "address", "address", emit.reg(stride))
        emit.add("address", "address", emit.reg("kv_base"))

    def _positions(self, register: str) -> None:
        """Positions that the last row sees."""
        emit, start = self.emit, self.scope.start
        if self.last:
            emit.add(register, start, self.scope.rows)
        else:
            emit.alu("SMIN", register, self.scope.rows_register, self.most)
            emit.add(register, register, emit.reg(start))

    def _rows(self) -> None:
        """`rows`: of this turn."""
        emit, rows = self.emit, self.scope.rows_register
        if not self.before:
            self.rows = self._least(rows)
            return
        emit.alu("SMIN", "part", rows, self.before)
        emit.alu("SSUB", "part", rows, emit.reg("part"))
        self.rows = emit.reg("part")

    def _many(self) -> None:
        """`many`: the same, but at least one."""
        emit, scope = self.emit, self.scope
        assert scope.stream is not None
        if not self.before:
            self.many = self._least(scope.stream.many)
            return
        emit.alu("SMIN", "part", scope.rows_register, self.before + 1)
        emit.alu("SSUB", "part", scope.rows_register, emit.reg("part"))
        self.many = emit.reg("part", 1)

    def _least(self, rows: str) -> Ref:
        """The rows in a register, as many as fit in a turn."""
        if self.last:
            return self.emit.reg(rows)
        self.emit.alu("SMIN", "part", rows, self.most)
        return self.emit.reg("part")

    def _group(self) -> None:
        """`group`: groups of probabilities of the turn before, were they as many as here."""
        if self.passes:
            self.emit.alu("SMUL", "group", "v_groups", self.passes)
