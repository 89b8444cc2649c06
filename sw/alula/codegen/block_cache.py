"""Keys and values of attention to some blocks: where they are kept, and how they get there.

The last blocks lie in a ring, twice, so that every window is one piece; those that are kept lie in
one piece behind it (`alula.mapper.kv`).
"""

from alula.codegen.attention import CACHE, quantise_rows, staging
from alula.codegen.scope import Count, Scope
from alula.design import GROUP
from alula.ir import AttentionBlocks, Node
from alula.ir.attention_blocks import BLOCK
from alula.isa import Ref

KEPT = "memory.kv.kept"
"""The part of the cache that is kept: no token reads there what it writes itself."""


def pattern(scope: Scope) -> AttentionBlocks:
    """Which blocks each KV head of the model attends to."""
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
    emit.alu("SMIN", "kept_end", "window", pattern(scope).local)
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


def append_behind(scope: Scope, node: Node) -> None:
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
                writes=staging(name),
                src=scope.vector(name) + head * scope.words(kv.head_dim),
                dst=(index * kv.heads + head) * scope.buffers.rows,
                rows=scope.rows,
                heads=1,
                dim=kv.head_dim,
                stride=scope.row_words(name),
            )
    emit.add("done", None, 0)
    emit.add("at", "position", 0)
    with emit.loop(pieces(scope, BLOCK)):
        piece(scope, BLOCK)
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


def pieces(scope: Scope, size: Ref | int) -> Ref:
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


def piece(scope: Scope, size: Ref | int) -> None:
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
    emit, blocks = scope.emit, pattern(scope)
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
        addresses = Addresses(scope, heads.start)
        emit.op(
            "ST.KEY",
            reads=staging(key),
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
            reads=staging(value),
            writes=[cache],
            src=source(1),
            addr=address,
            stride=emit.reg("v_stride"),
            pitch=emit.reg("v_pitch"),
            scales=emit.reg("count"),
            **shape,
        )


class Addresses:
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
