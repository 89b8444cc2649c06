"""Attention to some blocks of positions: a window of the last ones, and those that are kept.

Both lie in one piece each (`alula.mapper.kv`), so each is one product with K and one with V, and
what is skipped costs neither beats nor cycles. Scores stand side by side, kept ones first, in the
order of positions; one softmax goes over both. Where nothing comes before the window yet, a block
of what happens to be there is multiplied, and what it gives is not used: the code is the same for
all positions.
"""

from alula.codegen.attention import Step
from alula.codegen.block_cache import (
    KEPT,
    Addresses,
    append_behind,
    measure,
    pattern,
    piece,
    pieces,
)
from alula.codegen.emitter import engine_of
from alula.codegen.scope import Count, Scope
from alula.design import GROUP
from alula.ir import AttentionBlocks, Node
from alula.ir.attention_blocks import BLOCK
from alula.isa import Engine, Ref
from alula.isa.formats import FORMATS


class _BlockStep:
    """Some query rows within a block against one KV head, in one copy of the buffers.

    Args:
        step: the rows, and where their scores go.
        head: whose pattern it is.
        at: register with the position of the first row.
        addresses: of the KV head.
        causal: whether each row sees a position more than the one before.
    """

    def __init__(
        self, step: Step, head: int, at: str, addresses: Addresses, *, causal: bool
    ) -> None:
        self.step, self.scope, self.emit = step, step.scope, step.scope.emit
        self.addresses, self.at, self.causal = addresses, at, causal
        self.blocks, self.kv = pattern(step.scope), step.scope.memory.kv
        self.stride, self.offset = self.blocks.strides[head], self.blocks.offsets[head]
        self.window_probability = step.probability.replace("probability", "window")
        self.words = self.scope.words(BLOCK)

    def score(self, source: Count, stride: int) -> None:
        """From query rows to quantised probabilities, of kept blocks and of the window."""
        emit, step = self.emit, self.step
        step.quantise(source, stride)
        with emit.scratch():
            self._kept()
            self._score_kept()
            self._score_window()
            self._scales()
            if cap := self.scope.graph.architecture.attention_cap:
                with emit.scratch():
                    step.cap(self._score_words(), cap)
            self._soften()
            self._quantise()

    def _score_words(self) -> Ref:
        """`count`: words of a row of scores."""
        emit = self.emit
        self._last("count")
        emit.ceil_div("count", "count", GROUP)
        emit.alu("SMUL", "count", "count", self.scope.words(GROUP))
        with emit.scratch():
            emit.add("count", "count", self._behind_kept(0))
        return emit.reg("count")

    def weigh(self, kept: Count, attention: Count, stride: int) -> None:
        """Probabilities times V: of kept blocks, and of the window."""
        emit, step = self.emit, self.step
        beats = FORMATS["V8"].beats(1, BLOCK // GROUP)
        with emit.scratch():
            self._kept()
            self.addresses.values()
            emit.alu("SMUL", "count", "kept", BLOCK // GROUP)
            step.weigh_part(
                emit.reg("address", self.kv.kept * beats),
                emit.reg("count"),
                step.probability,
                "kept",
                kept,
                stride,
                KEPT,
            )
            self._window("address", beats)
            self._last("count")
            emit.ceil_div("count", "count", GROUP)
            step.weigh_part(
                emit.reg("address"),
                emit.reg("count"),
                self.window_probability,
                "attention",
                attention,
                stride,
            )

    def _kept(self) -> None:
        """`kept`: blocks before the window that the head keeps, at least one."""
        emit = self.emit
        emit.alu("SMIN", "kept", "kept_end", self.blocks.sinks)
        if self.stride:
            with emit.scratch():
                emit.add("count", "kept_end", self.stride - 1 - self.offset)
                emit.alu("SDIV", "count", "count", self.stride)
                emit.add("kept", "kept", emit.reg("count"))
        with emit.scratch():
            emit.alu("SMIN", "count", "kept_end", 1)
            emit.alu("SSUB", "kept", "kept", emit.reg("count"))
        emit.add("kept", "kept", 1)

    def _last(self, register: str) -> None:
        """Positions of the window that the last row sees."""
        self._first(register)
        if self.causal:
            assert isinstance(self.step.rows, Ref)
            self.emit.add(register, register, self.step.rows)
            self.emit.alu("SSUB", register, register, 1)

    def _first(self, register: str) -> None:
        """Positions of the window that the first row sees."""
        emit = self.emit
        emit.alu("SMUL", register, "kept_end", BLOCK)
        emit.alu("SSUB", register, self.at, emit.reg(register))
        emit.add(register, register, 1)

    def _window(self, register: str, beats: int) -> None:
        """Add the place of the window, whose blocks are so many beats apart."""
        emit = self.emit
        with emit.scratch():
            emit.alu("SMUL", "count", "window", beats)
            emit.add(register, register, emit.reg("count"))

    def _behind_kept(self, base: Count) -> Ref:
        """`where`: words of kept scores behind a place."""
        emit = self.emit
        emit.alu("SMUL", "where", "kept", self.words)
        emit.add("where", "where", base)
        return emit.reg("where")

    def _score_kept(self) -> None:
        emit, rows = self.emit, self.scope.design.rows
        beats = FORMATS["W8"].beats(BLOCK // rows, self.kv.head_dim // GROUP)
        with emit.scratch():
            self.addresses.keys()
            emit.alu("SMUL", "count", "kept", BLOCK // rows)
            address = emit.reg("address", self.kv.kept * beats)
            self.step.load_keys(address, emit.reg("count"), KEPT)
            emit.alu("SMUL", "count", "kept", BLOCK)
            self.step.multiply(emit.reg("count"))

    def _score_window(self) -> None:
        emit, rows = self.emit, self.scope.design.rows
        beats = FORMATS["W8"].beats(BLOCK // rows, self.kv.head_dim // GROUP)
        with emit.scratch():
            self.addresses.keys()
            self._window("address", beats)
            self._last("count")
            emit.ceil_div("count", "count", rows)
            self.step.load_keys(emit.reg("address"), emit.reg("count"))
            self._last("count")
            place = self._behind_kept(self.step.place(self.step.scores))
            self.step.multiply(emit.reg("count"), place)

    def _scales(self) -> None:
        emit, step = self.emit, self.step
        beats = 2 * BLOCK // self.scope.design.bytes_per_cycle
        with emit.scratch():
            self.addresses.scales()
            emit.alu("SMUL", "count", "kept", BLOCK)
            address = emit.reg("address", self.kv.kept * beats)
            step.load_scales(address, emit.reg("count"), KEPT)
            self._window("address", beats)
            self._last("count")
            emit.ceil_div("count", "count", GROUP)
            emit.alu("SMUL", "count", "count", GROUP)
            place = self._behind_kept(step.place(step.scales))
            step.load_scales(emit.reg("address"), emit.reg("count"), place=place)

    def _soften(self) -> None:
        """Softmax over what is kept and the window; over the window alone where nothing is."""
        emit, step = self.emit, self.step
        with emit.scratch():
            emit.alu("SMIN", "where", "kept_end", 1)
            emit.alu("SMUL", "count", "kept", emit.reg("where"))
            emit.alu("SMUL", "count", "count", BLOCK)
            self._first("address")
            emit.add("count", "count", emit.reg("address"))
            emit.alu("SMUL", "where", "where", self.words)
            emit.alu("SSUB", "where", None, emit.reg("where"))
            emit.add("where", "where", self.words)
            emit.add("address", "where", step.place(step.scales))
            emit.add("where", "where", step.place(step.scores))
            step.soften(
                emit.reg("where"), emit.reg("address"), emit.reg("count"), causal=self.causal
            )

    def _quantise(self) -> None:
        emit, step = self.emit, self.step
        with emit.scratch():
            emit.alu("SMUL", "count", "kept", BLOCK)
            step.quantise_scores(step.place(step.scores), step.probability, emit.reg("count"))
            self._last("count")
            emit.ceil_div("count", "count", GROUP)
            emit.alu("SMUL", "count", "count", GROUP)
            place = self._behind_kept(step.place(step.scores))
            step.quantise_scores(place, self.window_probability, emit.reg("count"))


def attend_token(scope: Scope, node: Node, append: Node) -> None:
    """One token: the query heads of a KV head are rows of one step; steps overlap as copies allow.

    `append` is the node that took the token's K and V: what only later tokens read of it is stored
    behind the attention. In other respects as `alula.codegen.attention.attend_token`.
    """
    emit, kv, copies = scope.emit, scope.memory.kv, scope.buffers.copies
    group = scope.graph.architecture.heads // kv.heads
    engine = engine_of(group > scope.design.mpe.tokens)
    words, behind = scope.words(kv.head_dim), copies - 1
    steps = [
        _BlockStep(
            Step(scope, head % copies, group, engine),
            head,
            "position",
            Addresses(scope, head),
            causal=False,
        )
        for head in range(kv.heads)
    ]
    for head in range(kv.heads + behind):
        if head < kv.heads:
            steps[head].score(scope.vector("q") + head * group * words, words)
        if head >= behind:
            place = (head - behind) * group * words
            kept, attention = (scope.vector(name) + place for name in ("kept", node.output))
            steps[head - behind].weigh(kept, attention, words)
    with emit.scratch():
        emit.alu("SMIN", "count", "kept_end", 1)
        _add(scope, node, scope.vector(node.output), scope.vector("kept"), emit.reg("count"))
    append_behind(scope, append)


def _add(scope: Scope, node: Node, attention: Count, kept: Count, rows: Ref) -> None:
    """What kept blocks give is added for the rows that have any."""
    scope.emit.op(
        "ADD",
        reads=scope.touch(node.output, "kept"),
        writes=scope.touch(node.output),
        dst=attention,
        a=attention,
        b=kept,
        rows=rows,
        words=scope.row_words(node.output),
    )


def attend_chunk(scope: Scope, node: Node) -> None:
    """A chunk of tokens: each step is tokens of one query head in one block, with a causal mask."""
    emit, kv = scope.emit, scope.memory.kv
    shared = scope.graph.architecture.heads // kv.heads
    words, rows = scope.words(kv.head_dim), emit.reg("attention_rows")
    for heads in _alike(pattern(scope)):
        one = len(heads) == 1
        with emit.scratch():
            emit.add("head", None, heads.start * shared)
            with emit.loop(len(heads) * shared):
                addresses = Addresses(scope, heads.start if one else None)
                step = Step(scope, 0, emit.reg("step_rows"), Engine.MM)
                block = _BlockStep(step, heads.start, "at", addresses, causal=True)
                emit.alu("SMUL", "word", "head", words)
                emit.add("at", "position", 0)
                with emit.loop(pieces(scope, rows)):
                    piece(scope, rows)
                    _chunk_step(scope, block, node)
                emit.add("head", "head", 1)
    with emit.scratch():
        _add_chunk(scope, node)


def _alike(blocks: AttentionBlocks) -> list[range]:
    """Runs of KV heads whose patterns are the same."""
    found: list[range] = []
    for head, one in enumerate(zip(blocks.strides, blocks.offsets, strict=True)):
        if found and one == (blocks.strides[head - 1], blocks.offsets[head - 1]):
            found[-1] = range(found[-1].start, head + 1)
        else:
            found.append(range(head, head + 1))
    return found


def _chunk_step(scope: Scope, block: _BlockStep, node: Node) -> None:
    """Rows of one head from `word` on, the first of which is at position `at`."""
    emit, width = scope.emit, scope.row_words("q")
    with emit.scratch():
        measure(scope, "at")
        block.score(emit.reg("word", scope.vector("q")), width)
        kept, attention = (emit.reg("word", scope.vector(name)) for name in ("kept", node.output))
        block.weigh(kept, attention, width)
    with emit.scratch():
        emit.alu("SMUL", "count", "step_rows", width)
        emit.add("word", "word", emit.reg("count"))
    emit.add("at", "at", emit.reg("step_rows"))


def _add_chunk(scope: Scope, node: Node) -> None:
    """Rows whose window is all that comes before them are left as they are: the first ones."""
    emit, width = scope.emit, scope.row_words(node.output)
    most = BLOCK * pattern(scope).local
    emit.alu("SMIN", "count", "position", most)
    emit.alu("SSUB", "count", None, emit.reg("count"))
    emit.add("count", "count", most)
    emit.alu("SMIN", "count", "count", emit.reg(scope.rows_register))
    emit.alu("SMUL", "where", "count", width)
    emit.alu("SSUB", "count", scope.rows_register, emit.reg("count"))
    attention, kept = (emit.reg("where", scope.vector(name)) for name in (node.output, "kept"))
    _add(scope, node, attention, kept, emit.reg("count"))
