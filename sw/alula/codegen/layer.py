"""The operations of a layer, each a few instructions."""

from collections.abc import Iterator

from alula.codegen import attention, block_attention, block_cache
from alula.codegen.emitter import engine_of
from alula.codegen.scope import Count, Scope
from alula.design.engines import MOST_ROWS
from alula.ir import Node
from alula.isa import Ref, RegionName
from alula.mapper import StoredMatrix, Vectors


def load_vectors(scope: Scope, name: str, vectors: Vectors, addr: Ref) -> None:
    """Load a set of vectors from where its section lies."""
    scope.emit.op(
        "LD.V",
        writes=scope.touch(name),
        addr=addr,
        dst=scope.vector(name),
        count=vectors.size * scope.design.sfu.lanes,
    )


def norm(scope: Scope, node: Node, rows: Count, source: Count | None = None) -> None:
    """Load a norm's vectors and normalise rows at `source`, the node's input if None."""
    name, vectors = scope.vectors_of(node.parameters[0])
    if name in scope.run.section.vectors:
        load_vectors(scope, name, vectors, scope.layer(vectors.offset))
    else:
        load_vectors(
            scope,
            name,
            vectors,
            Ref(0, scope.memory.regions[RegionName.HEAD].start + vectors.offset),
        )
    width = scope.graph.width(node.output)
    _normalise(
        scope,
        "RMSNORM" if scope.graph.architecture.norm == "rmsnorm" else "LAYERNORM",
        node,
        scope.vector(node.inputs[0]) if source is None else source,
        rows,
        width,
        width,
    )


def _normalise(
    scope: Scope, name: str, node: Node, source: Count, rows: Count, width: int, counted: int
) -> None:
    """Rows of `width` elements, of which the mean counts `counted`; the others are zeros."""
    emit = scope.emit
    resource, gain = scope.parameter(node.parameters[0])
    emit.op(
        name,
        reads=scope.touch(*node.inputs, resource),
        writes=scope.touch(node.output),
        dst=source if node.op == "head_norm" else scope.vector(node.output),
        src=source,
        gain=gain,
        rows=rows,
        len=width,
        inv=emit.real("inverse", 1 / counted),
        eps=emit.real("epsilon", scope.graph.architecture.norm_eps),
    )


def _head_norm(scope: Scope, node: Node, rows: Count) -> None:
    """Normalise every head: all tokens' together, or token by token where they are too many."""
    emit, shape = scope.emit, scope.graph.architecture
    dim, used, place = shape.head_dim, shape.used_head_dim, scope.vector(node.output)
    if scope.chunked and scope.buffers.rows * node.heads <= MOST_ROWS:
        emit.alu("SMUL", "count", scope.rows_register, node.heads)
        _normalise(scope, "RMSNORM", node, place, emit.reg("count"), dim, used)
        return
    if scope.chunked:
        emit.add("word", None, place)

    def token() -> None:
        for first, heads in _pieces(0, node.heads):
            offset = first * scope.words(dim)
            head = emit.reg("word", offset) if scope.chunked else place + offset
            _normalise(scope, "RMSNORM", node, head, heads, dim, used)
        if scope.chunked:
            emit.add("word", "word", scope.row_words(node.output))

    scope.each_row(token)


def _pieces(start: int, heads: int) -> Iterator[tuple[int, int]]:
    """Heads in pieces that an instruction counts to: the first of each, and how many."""
    for first in range(start, start + heads, MOST_ROWS):
        yield first, min(MOST_ROWS, start + heads - first)


def _rope(scope: Scope, node: Node, rows: Count) -> None:
    rotate(scope, node, rows, 0, node.heads)


def rotate(
    scope: Scope, node: Node, rows: Count, start: int, count: int, piece: int | None = None
) -> None:
    """Rotate some heads of a value, all of it or a piece."""
    dim = scope.graph.architecture.head_dim
    for first, heads in _pieces(start, count):
        scope.emit.op(
            "ROPE",
            reads=scope.touch(node.output, piece=piece) | scope.touch("position"),
            writes=scope.touch(node.output, piece=piece),
            src=scope.vector(node.output) + first * scope.words(dim),
            table=scope.vector("position"),
            rows=rows,
            heads=heads,
            dim=dim,
            stride=scope.row_words(node.output),
        )


def _bias(scope: Scope, node: Node, rows: Count) -> None:
    resource, word = scope.parameter(node.parameters[0])
    scope.emit.op(
        "ADD",
        reads=scope.touch(node.output, resource),
        writes=scope.touch(node.output),
        dst=scope.vector(node.output),
        a=scope.vector(node.output),
        b=word,
        rows=rows,
        words=scope.row_words(node.output),
        broadcast=True,
    )


def _add(scope: Scope, node: Node, rows: Count) -> None:
    first, second = node.inputs
    scope.emit.op(
        "ADD",
        reads=scope.touch(first, second),
        writes=scope.touch(node.output),
        dst=scope.vector(node.output),
        a=scope.vector(first),
        b=scope.vector(second),
        rows=rows,
        words=scope.row_words(node.output),
    )


def _activation(scope: Scope, node: Node, rows: Count) -> None:
    emit, words = scope.emit, scope.row_words(node.output)
    count: Count = words
    if scope.chunked:
        emit.alu("SMUL", "count", scope.rows_register, words)
        count = emit.reg("count")
    emit.op(
        "ACT",
        reads=scope.touch(*node.inputs),
        writes=scope.touch(node.output),
        func=node.parameters[0],
        gated=node.op == "gated_activation",
        dst=scope.vector(node.output),
        a=scope.vector(node.inputs[0]),
        b=scope.vector(node.inputs[-1]),
        count=count,
    )


def _quantise(scope: Scope, node: Node, rows: Count) -> None:
    scope.emit.op(
        "QUANT",
        reads=scope.touch(*node.inputs),
        writes=scope.touch(node.output),
        src=scope.vector(node.inputs[0]),
        dst=scope.activation(node.output),
        rows=rows,
        len=scope.graph.width(node.inputs[0]),
        stride=scope.row_words(node.inputs[0]),
    )


def product(
    scope: Scope, node: Node, matrix: StoredMatrix, addr: Ref, rows: Count, dst_words: int
) -> None:
    """Stream a matrix and multiply, band by band: `dst_words` is the width of a result row."""
    emit, engine = scope.emit, engine_of(scope.chunked)
    for band in matrix.bands:
        shape = band.fields
        place = Ref(addr.register, addr.offset + band.offset)
        emit.op("LD.W", to=engine.name, addr=place, blocks=band.blocks, **shape)
        emit.op(
            engine.name,
            reads=scope.touch(node.inputs[0]),
            writes=scope.touch(node.output),
            src=scope.activation(node.inputs[0]),
            outputs=band.outputs,
            rows=rows,
            dst=scope.vector(node.output) + scope.words(band.first),
            stride=dst_words,
            **shape,
        )


def _product(scope: Scope, node: Node, rows: Count) -> None:
    matrix = scope.run.section.matrices[node.unit]
    addr = scope.layer(matrix.offset)
    product(scope, node, matrix, addr, scope.many, scope.row_words(node.output))


def _append(scope: Scope, node: Node, rows: Count) -> None:
    if scope.graph.architecture.blocks is None:
        attention.append(scope, node, rows)
    elif scope.chunked:
        block_cache.append_chunk(scope, node)
    else:
        block_cache.append_token(scope, node)


def _attend(scope: Scope, node: Node, _: Count) -> None:
    if scope.graph.architecture.blocks is not None:
        if scope.chunked:
            block_attention.attend_chunk(scope, node)
        else:
            nodes = scope.graph.sections["layer"]
            append = next(one for one in nodes if one.op == "append")
            block_attention.attend_token(scope, node, append)
    elif scope.chunked:
        attention.attend_chunk(scope, node)
    else:
        attention.attend_token(scope, node)


_EMITTERS = {
    "norm": norm,
    "head_norm": _head_norm,
    "rope": _rope,
    "bias": _bias,
    "add": _add,
    "activation": _activation,
    "gated_activation": _activation,
    "quantise": _quantise,
    "product": _product,
    "append": _append,
    "attend": _attend,
}


def emit_node(scope: Scope, node: Node, rows: Count) -> None:
    """Emit one node of a layer or of the head, for `rows` rows."""
    with scope.emit.scratch():
        _EMITTERS[node.op](scope, node, rows)
