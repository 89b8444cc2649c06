"""Queries, keys and values of half a chunk, on their way to the attention."""

from collections.abc import Sequence
from itertools import pairwise

from alula.codegen.attention import quantise_heads, store_keys, store_values
from alula.codegen.beside import TURN, Parts, origin, sfu_cycles
from alula.codegen.layer import emit_node, rotate
from alula.codegen.scope import Scope
from alula.design import GROUP
from alula.ir import Node


class Queries:
    """The queries of a half: their product, rotation and quantisation.

    Where heads can be told apart, the SFU goes on with the first of them while the matrix engine is
    at the others.

    Args:
        scope: the half.
        nodes: from the product to what comes before the attention.
        place: the quantised value where they lie, each head a matrix of its own.
        busy: cycles of the SFU, about, that are left when the product begins.

    Attributes:
        left: cycles of the SFU, about, that are left when the product ends.
    """

    def __init__(self, scope: Scope, nodes: Sequence[Node], place: str, busy: int) -> None:
        self._scope, self._nodes, self._place = scope, nodes, place
        self._parts = Parts(scope, nodes[0])
        self._units, rest = divmod(scope.memory.kv.head_dim, self._parts.rows)
        told_apart = not rest and [node.op for node in nodes] == ["product", "rope"]
        self._heads = scope.graph.architecture.heads
        quantised = 2 * scope.words(scope.memory.kv.head_dim) + TURN
        product = self._parts.all_cycles
        work = sfu_cycles(scope, nodes) + scope.buffers.rows * self._heads * quantised

        def end(first: int) -> int:
            """When the SFU is through, if so many heads are the first piece."""
            done = max(busy, first * product // self._heads) + first * work // self._heads
            return max(done, product) + (self._heads - first) * work // self._heads

        self._first = min(range(self._heads if told_apart else 1), key=end)
        self.left = end(self._first) - product

    def emit(self) -> None:
        """Emit all of it."""
        scope, nodes = self._scope, self._nodes
        if not self._first:
            emit_nodes(scope, nodes)
            self._quantise(0, self._heads)
            return
        pieces = list(enumerate(pairwise((0, self._first, self._heads))))
        for piece, (start, end) in pieces:
            self._parts.emit(start * self._units, (end - start) * self._units, piece)
        for piece, (start, end) in pieces:
            scope.emit.origin = origin(scope, nodes[1])
            rotate(scope, nodes[1], scope.rows, start, end - start, piece)
            self._quantise(start, end - start, piece)

    def _quantise(self, start: int, heads: int, piece: int | None = None) -> None:
        scope, emit, dim = self._scope, self._scope.emit, self._scope.memory.kv.head_dim
        groups = head_groups(scope)
        with emit.scratch():
            emit.add("word", None, scope.vector("q") + start * scope.words(dim))
            emit.add("group", None, scope.activation(self._place) + start * groups)
            with emit.loop(heads):
                emit.op(
                    "QUANT",
                    reads=scope.touch("q", piece=piece),
                    writes=scope.touch(self._place),
                    src=emit.reg("word"),
                    dst=emit.reg("group"),
                    rows=scope.rows,
                    len=dim,
                    stride=scope.row_words("q"),
                )
                emit.add("word", "word", scope.words(dim))
                emit.add("group", "group", groups)


class Keys:
    """What comes before a half's queries: keys and values, and their way into the cache.

    Where heads can be told apart, the SFU begins with the first one's keys.

    Attributes:
        left: cycles of the SFU, about, that are left when the last product ends.
    """

    def __init__(self, scope: Scope, nodes: Sequence[Node]) -> None:
        self._scope, self._nodes = scope, nodes
        self._parts = Parts(scope, nodes[0])
        self._heads = scope.memory.kv.heads
        self._units, rest = divmod(scope.memory.kv.head_dim, self._parts.rows)
        plain = [node.op for node in nodes] == ["product", "rope", "product", "append"]
        self._first = 1 if plain and not rest else self._heads
        products = [Parts(scope, node).all_cycles for node in nodes if node.op == "product"]
        alone = self._first * self._parts.all_cycles // self._heads
        self.left = sfu_cycles(scope, nodes) - (sum(products) - alone)

    def emit(self) -> None:
        """Emit all of it."""
        if self._first == self._heads:
            emit_nodes(self._scope, self._nodes)
            return
        scope, (_, rope, value, append) = self._scope, self._nodes
        rows, pieces = scope.rows, list(enumerate(pairwise((0, self._first, self._heads))))
        for piece, (start, end) in pieces:
            self._parts.emit(start * self._units, (end - start) * self._units, piece)
        for piece, (start, end) in pieces:
            scope.emit.origin = origin(scope, rope)
            rotate(scope, rope, rows, start, end - start, piece)
            scope.emit.origin = origin(scope, append)
            quantise_heads(scope, append, 0, rows, start, end - start, piece)
        emit_nodes(scope, [value])
        scope.emit.origin = origin(scope, append)
        quantise_heads(scope, append, 1, rows, 0, self._heads)
        for piece, (start, end) in pieces:
            store_keys(scope, append, rows, start, end - start, piece)
        store_values(scope, append, rows)


def emit_nodes(scope: Scope, nodes: Sequence[Node]) -> None:
    """Emit nodes one after the other."""
    for node in nodes:
        scope.emit.origin = origin(scope, node)
        emit_node(scope, node, scope.rows)


def head_groups(scope: Scope) -> int:
    """Groups of the activation buffer that the queries of a head take in a stream."""
    passes = -(-scope.buffers.rows // scope.design.mpe.tokens)
    return passes * (scope.memory.kv.head_dim // GROUP)
