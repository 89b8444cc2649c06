"""The head: final norm, vocabulary in tiles, running argmax, logits on request."""

from alula.codegen.attention import soft_cap
from alula.codegen.layer import emit_node, norm, product
from alula.codegen.scope import Count, Scope
from alula.ir import Node
from alula.isa import Ref, RegionName


def emit_head(scope: Scope) -> None:
    """Final norm, tiled head and running argmax for the last `head_rows` rows."""
    emit = scope.emit
    nodes = scope.graph.sections["head"]
    rows = emit.reg("head_rows")
    source: Count = scope.vector("hidden")
    if scope.chunked:
        emit.alu("SSUB", "word", "rows", rows)
        emit.alu("SMUL", "word", "word", scope.row_words("hidden"))
        source = emit.reg("word", scope.vector("hidden"))
    for node in nodes:
        emit.origin = node.unit
        if node.op == "norm":
            norm(scope, node, rows, source)
        elif node.op == "product":
            _tiles(scope, node, rows)
        elif node.op != "argmax":
            emit_node(scope, node, rows)


def _tiles(scope: Scope, node: Node, rows: Ref) -> None:
    emit, memory = scope.emit, scope.memory
    matrix = memory.head.matrices[node.unit]
    tile = matrix.tile
    tile_words = scope.words(tile)
    emit.op("ARGMAX", reads=["argmax"], writes=["argmax"], first=True)
    emit.add("address", None, memory.regions[RegionName.HEAD].start + matrix.offset)
    emit.add("base", None, 0)
    emit.add("store", None, memory.regions[RegionName.LOGITS].start)
    emit.alu("SSUB", "last", "head_rows", 1)
    emit.alu("SMUL", "last", "last", tile_words)
    with emit.loop(matrix.tiles):
        product(scope, node, matrix, emit.reg("address"), rows, tile_words)
        if cap := scope.graph.architecture.logit_cap:
            soft_cap(scope, "logits", scope.vector("logits"), rows, tile_words, tile_words, cap)
        emit.add("count", None, matrix.outputs)
        emit.alu("SSUB", "count", "count", emit.reg("base"))
        emit.alu("SMIN", "count", "count", tile)
        emit.op(
            "ARGMAX",
            reads=scope.touch("logits") | {"argmax"},
            writes=["argmax"],
            src=emit.reg("last", scope.vector("logits")),
            count=emit.reg("count"),
            base=emit.reg("base"),
        )
        with emit.loop(emit.reg("logits")):
            _store_logits(scope, tile, tile_words)
        emit.add("address", "address", matrix.tile_beats)
        emit.add("base", "base", tile)
        emit.add("store", "store", tile * 4 // scope.design.bytes_per_cycle)
    emit.op("ARG", reads=["argmax"], rd=emit.number("count"))
    emit.op(
        "ST.W",
        writes=["memory.result"],
        value=emit.reg("count"),
        addr=memory.regions[RegionName.RESULT].start,
    )


def _store_logits(scope: Scope, tile: int, tile_words: int) -> None:
    emit = scope.emit
    emit.add("word", None, scope.vector("logits"))
    emit.add("row_store", "store", 0)
    with emit.loop(emit.reg("head_rows")):
        emit.op(
            "ST.V",
            reads=scope.touch("logits"),
            writes=["memory.logits"],
            src=emit.reg("word"),
            addr=emit.reg("row_store"),
            count=tile,
        )
        emit.add("word", "word", tile_words)
        emit.add("row_store", "row_store", scope.memory.row_beats[RegionName.LOGITS])
