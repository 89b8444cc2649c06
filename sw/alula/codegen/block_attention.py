"""Attention to some blocks of positions: a window of the last ones, and those that are kept.

Both lie in one piece each (`alula.mapper.kv`), so each is one product with K and one with V, and
what is skipped costs neither beats nor cycles. Scores stand side by side, kept ones first, in the
order of positions; one softmax goes over both. Where nothing comes before the window yet, a block
of what happens to be there is multiplied, and what it gives is not used: the code is the same for
all positions.
"""

from alula.codegen.attention import CACHE, Step, quantise_rows, soft_cap
from alula.codegen.emitter import engine_of
from alula.codegen.scope import Count, Scope
from alula.design import GROUP
from alula.ir import AttentionBlocks, Node
from alula.ir.attention_blocks import BLOCK
from alula.isa import Engine, Ref
from alula.isa.formats import FORMATS

KEPT = "memory.kv.kept"
"""The part of the cache that is kept: no token reads there what it writes itself."""


def _pattern(scope: Scope) -> AttentionBlocks:
    blocks = scope.graph.architecture.blocks
    assert blocks is not None
    return blocks


def measure(scope: Scope, at: str = "position") -> None:
    """Registers for the query at position `at`.

    `kept_end`: blocks before its window; `window`: place of the window's first block in the ring.
    """
    emit, ring = scope.emit, scope.memory.kv.ring
    emit.alu("SDIV", "window", at, BLOCK)
    emit.add("window", "window", 1)
    emit.alu("SMIN", "kept_end", "window", _pattern(scope).local)
    emit.alu("SSUB", "kept_end", "window", emit.reg("kept_end"))
    emit.alu("SDIV", "window", "kept_end", ring)
    emit.alu("SMUL", "window", "window", ring)
    emit.alu("SSUB", "window", "kept_end", emit.reg("window"))


def append_token(scope: Scope, node: Node) -> None:
    """One token's K and V to the copy of the ring in which its own query reads them."""
    emit = scope.emit
    quantise_rows(scope, node, 1)
    _ring_place(scope)
    _store(scope, node, emit.reg("place"), heads=range(scope.memory.kv.heads), rows=1)


def _ring_place(scope: Scope) -> None:
    """`place`: of the token in decode, where the window has it."""
    emit = scope.emit
    emit.alu("SSUB", "place", "window", emit.reg("kept_end"))
    emit.alu("SMUL", "place", "place", BLOCK)
    emit.add("place", "place", emit.reg("position"))


def _append_behind(scope: Scope, node: Node) -> None:
    """The same to the other copy, and to what is kept, which only later tokens read."""
    emit, kv = scope.emit, scope.memory.kv
    ring = BLOCK * kv.ring
    with emit.scratch():
        _ring_place(scope)
        emit.alu("SDIV", "count", "place", ring)
        emit.alu("SMUL", "count", "count", 2 * ring)
        emit.alu("SSUB", "place", "place", emit.reg("count"))
        emit.add("place", "place", ring)
        _store(scope, node, emit.reg("place"), heads=range(kv.heads), rows=1)
    for head in range(kv.heads):
        with emit.scratch():
            _kept_place(scope, head, "position")
            _store(scope, node, emit.reg("place"), heads=range(head, head + 1), rows=1, cache=KEPT)


def append_chunk(scope: Scope, node: Node) -> None:
    """A chunk's K and V, block by block: to both copies of the ring, and to what is kept."""
    emit, kv = scope.emit, scope.memory.kv
    ring = BLOCK * kv.ring
    for index, name in enumerate(node.inputs):
        for head in range(kv.heads):
            emit.op(
                "QUANTKV",
                reads=scope.touch(name),
                writes=[f"staging.{name}"],
                src=scope.vector(name) + head * scope.words(kv.head_dim),
                dst=(index * kv.heads + head) * scope.buffers.rows,
                rows=scope.rows,
                heads=1,
                dim=kv.head_dim,
                stride=scope.row_words(name),
            )
    emit.add("done", None, 0)
    emit.add("at", "position", 0)
    with emit.loop(_pieces(scope, BLOCK)):
        _piece(scope, BLOCK)
        for head in range(kv.heads):
            with emit.scratch():
                rows, one = emit.reg("step_rows"), range(head, head + 1)
                emit.alu("SDIV", "place", "at", ring)
                emit.alu("SMUL", "place", "place", ring)
                emit.alu("SSUB", "place", "at", emit.reg("place"))
                _store(scope, node, emit.reg("place"), heads=one, rows=rows, done="done")
                emit.add("place", "place", ring)
                _store(scope, node, emit.reg("place"), heads=one, rows=rows, done="done")
                _kept_place(scope, head, "at")
                place = emit.reg("place")
                _store(scope, node, place, heads=one, rows=rows, done="done", cache=KEPT)
        emit.add("done", "done", emit.reg("step_rows"))
        emit.add("at", "at", emit.reg("step_rows"))


def _pieces(scope: Scope, size: Ref | int) -> Ref:
    """How many pieces of so many positions, from multiples of it on, the rows at hand touch."""
    emit = scope.emit
    emit.alu("SDIV", "count", "position", size)
    emit.alu("SMUL", "count", "count", size)
    emit.alu("SSUB", "count", "position", emit.reg("count"))
    emit.add("count", "count", emit.reg(scope.rows_register))
    emit.add("count", "count", size)
    emit.alu("SSUB", "count", "count", 1)
    emit.alu("SDIV", "count", "count", size)
    return emit.reg("count")


def _piece(scope: Scope, size: Ref | int) -> None:
    """`step_rows`: rows from position `at` to the end of its piece, or of the rows at hand."""
    emit = scope.emit
    emit.alu("SDIV", "step_rows", "at", size)
    emit.alu("SMUL", "step_rows", "step_rows", size)
    emit.add("step_rows", "step_rows", size)
    with emit.scratch():
        emit.add("count", "position", emit.reg(scope.rows_register))
        emit.alu("SMIN", "step_rows", "step_rows", emit.reg("count"))
    emit.alu("SSUB", "step_rows", "step_rows", emit.reg("at"))


def _kept_place(scope: Scope, head: int, at: str) -> None:
    """`place`: row of the kept matrix for position `at`, or of the place that is discarded."""
    emit, blocks = scope.emit, _pattern(scope)
    stride, offset = blocks.strides[head], blocks.offsets[head]
    emit.number("place")
    with emit.scratch():
        emit.alu("SDIV", "block", at, BLOCK)
        emit.alu("SMIN", "count", "block", blocks.sinks)
        emit.alu("SSUB", "count", None, emit.reg("count"))
        emit.add("count", "count", blocks.sinks)
        emit.alu("SMIN", "count", "count", 1)
        emit.add("place", "block", 1)
        emit.alu("SMUL", "place", "place", emit.reg("count"))
        if stride:
            emit.alu("SDIV", "count", "block", stride)
            emit.alu("SMUL", "other", "count", stride)
            emit.alu("SSUB", "other", "block", emit.reg("other"))
            emit.alu("SSUB", "other", "other", offset)
            emit.alu("SMIN", "other", "other", 1)
            emit.add("count", "count", 1 + blocks.sinks)
            emit.alu("SMUL", "other", "other", emit.reg("count"))
            emit.alu("SSUB", "count", "count", emit.reg("other"))
            emit.add("place", "place", emit.reg("count"))
        emit.add("place", "place", scope.memory.kv.discarded)
        emit.alu("SSUB", "place", "place", emit.reg("block"))
        emit.alu("SMUL", "place", "place", BLOCK)
        emit.add("place", "place", emit.reg(at))


def _store(
    scope: Scope,
    node: Node,
    place: Ref,
    *,
    heads: range,
    rows: Count,
    done: str | None = None,
    cache: str = CACHE,
) -> None:
    """Rows of some heads out of staging to row `place` of their matrices.

    `done`: register with the rows of a head before them, where heads lie behind each other.
    """
    emit, kv = scope.emit, scope.memory.kv
    shape = {"heads": len(heads), "rows": rows, "groups": kv.head_dim // GROUP, "position": place}
    each = scope.buffers.rows

    def source(index: int) -> Count:
        first = (index * kv.heads + heads.start) * each
        return emit.reg(done, first) if done else first

    key, value = node.inputs
    with emit.scratch():
        addresses = _Addresses(scope, heads.start)
        emit.op(
            "ST.KEY",
            reads=[f"staging.{key}"],
            writes=[cache],
            src=source(0),
            addr=addresses.keys(),
            stride=emit.reg("k_stride"),
            **shape,
        )
        address = addresses.values()
        emit.alu("SMUL", "count", "v_pitch", kv.v_blocks)
        emit.op(
            "ST.VALUE",
            reads=[f"staging.{value}"],
            writes=[cache],
            src=source(1),
            addr=address,
            stride=emit.reg("v_stride"),
            pitch=emit.reg("v_pitch"),
            scales=emit.reg("count"),
            **shape,
        )


class _Addresses:
    """Where a KV head's matrices begin: in register `address`, some take `count` on the way.

    `head`: its number; None: that of the query head in register `head`.
    """

    def __init__(self, scope: Scope, head: int | None) -> None:
        self.scope, self.kv, self.head = scope, scope.memory.kv, head

    def keys(self) -> Ref:
        """K."""
        return self._of("k_stride")

    def values(self) -> Ref:
        """V."""
        emit = self.scope.emit
        self._of("v_stride")
        emit.alu("SMUL", "count", "k_stride", self.kv.heads)
        emit.add("address", "address", emit.reg("count"))
        return emit.reg("address")

    def scales(self) -> Ref:
        """The scales of V."""
        emit = self.scope.emit
        self.values()
        emit.alu("SMUL", "count", "v_pitch", self.kv.v_blocks)
        emit.add("address", "address", emit.reg("count"))
        return emit.reg("address")

    def _of(self, stride: str) -> Ref:
        emit = self.scope.emit
        if self.head is None:
            shared = self.scope.graph.architecture.heads // self.kv.heads
            emit.alu("SDIV", "address", "head", shared)
            emit.alu("SMUL", "address", "address", emit.reg(stride))
        else:
            emit.alu("SMUL", "address", stride, self.head)
        emit.add("address", "address", emit.reg("kv_base"))
        return emit.reg("address")


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
        self, step: Step, head: int, at: str, addresses: _Addresses, *, causal: bool
    ) -> None:
        self.step, self.scope, self.emit = step, step.scope, step.scope.emit
        self.addresses, self.at, self.causal = addresses, at, causal
        self.blocks, self.kv = _pattern(step.scope), step.scope.memory.kv
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
                    words = self._score_words()
                    place, row = step.place(step.scores), emit.reg("score_stride")
                    soft_cap(self.scope, step.scores, place, step.rows, words, row, cap)
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
            _Addresses(scope, head),
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
    _append_behind(scope, append)


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
    for heads in _alike(_pattern(scope)):
        one = len(heads) == 1
        with emit.scratch():
            emit.add("head", None, heads.start * shared)
            with emit.loop(len(heads) * shared):
                addresses = _Addresses(scope, heads.start if one else None)
                step = Step(scope, 0, emit.reg("step_rows"), Engine.MM)
                block = _BlockStep(step, heads.start, "at", addresses, causal=True)
                emit.alu("SMUL", "word", "head", words)
                emit.add("at", "position", 0)
                with emit.loop(_pieces(scope, rows)):
                    _piece(scope, rows)
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
    most = BLOCK * _pattern(scope).local
    emit.alu("SMIN", "count", "position", most)
    emit.alu("SSUB", "count", None, emit.reg("count"))
    emit.add("count", "count", most)
    emit.alu("SMIN", "count", "count", emit.reg(scope.rows_register))
    emit.alu("SMUL", "where", "count", width)
    emit.alu("SSUB", "count", scope.rows_register, emit.reg("count"))
    attention, kept = (emit.reg("where", scope.vector(name)) for name in (node.output, "kept"))
    _add(scope, node, attention, kept, emit.reg("count"))
