"""Layers of a chunk in two halves, half a layer apart.

While one half is in the attention, which keeps the SFU busy, the other is in the MLP, which keeps
the matrix engine busy. So both run all the time; each half streams the weights for itself. Half 1
is behind: its MLP of a layer runs in the next iteration of the loop over layers, and the first one
is of no rows. (Software pipelining: Lam, PLDI 1988.)
"""

from collections.abc import Callable, Sequence
from dataclasses import replace

from alula.codegen import attention
from alula.codegen.emitter import engine_of, most_offset
from alula.codegen.layer import emit_node, load_vectors
from alula.codegen.runs import any_layer, enter_run, next_layer, start_layers
from alula.codegen.scope import Scope, Stream
from alula.ir import Node
from alula.isa.formats import SCALES_PER_BEAT

_MOST_STRIDE, _MOST_GROUPS = most_offset("MM", "stride"), most_offset("MM", "groups")
_AHEAD = Stream(0, rows="rows0", many="rows0", layer="layer", start="position")
_BEHIND = Stream(1, rows="rows1", many="many1", layer="layer", start="start1")


def emit_layers(scope: Scope) -> None:
    """All layers, for the rows at hand."""
    emit = scope.emit
    emit.alu("SMIN", "rows0", "rows", scope.buffers.rows)
    emit.alu("SSUB", "rows1", "rows", emit.reg("rows0"))
    emit.alu("SMIN", "many1", "rows1", 1)
    emit.alu("SSUB", "many1", "rows1", emit.reg("many1"))
    emit.add("many1", "many1", 1)
    emit.add("start1", "position", emit.reg("rows0"))
    start_layers(scope)
    for run in scope.memory.runs:
        _emit_run(scope.through(run))


def _emit_run(scope: Scope) -> None:
    """The layers of a run; behind its end half 1 is no longer behind."""
    emit = scope.emit
    emit.add("rows1", None, 0)
    emit.number("layer_before")
    count = enter_run(scope)
    emit.add("layer_before", "layer", 0)
    ahead, behind = scope.at(_AHEAD), scope.at(_BEHIND)
    before = scope.at(replace(_BEHIND, layer="layer_before"))
    with emit.loop(count, layers=scope.run.first):
        _side_by_side(ahead, before)
        emit.alu("SSUB", "rows1", "rows", emit.reg("rows0"))
        _side_by_side(behind, ahead)
        emit.origin = "layers.*"
        emit.add("layer_before", "layer", 0)
        next_layer(scope)
    with emit.loop(any_layer(scope)):
        _, mlp = _halves(before)
        _vectors(before, mlp)
        _emit(before, mlp)


def _halves(scope: Scope) -> tuple[list[Node], list[Node]]:
    """Nodes of a layer up to the MLP's quantised input, and those of the MLP."""
    nodes = list(scope.graph.sections["layer"])
    cut = next(i for i, node in enumerate(nodes) if node.unit.endswith(".mlp_norm")) + 2
    return nodes[:cut], nodes[cut:]


def _side_by_side(attending: Scope, other: Scope) -> None:
    """One half goes from its norm to the MLP's input, the other through its MLP."""
    nodes, mlp = _halves(attending)
    attend = next(index for index, node in enumerate(nodes) if node.op == "attend")
    add = next(index for index, node in enumerate(nodes) if index > attend and node.op == "add")
    activation = next(index for index, node in enumerate(mlp) if "activation" in node.op)
    down = next(
        index for index, node in enumerate(mlp) if index > activation and node.op == "product"
    )
    last = max(index for index, node in enumerate(mlp[:activation]) if node.op == "product")
    tiled = _tiles(other, mlp[last])

    _vectors(other, mlp)
    _emit(other, mlp[:last])
    if tiled is None:
        _emit(other, [mlp[last]])
    _emit(attending, nodes[:attend])
    with attending.emit.scratch():
        attending.emit.origin = nodes[attend].unit
        attention.attend_beside(attending, nodes[attend], tiled or (lambda: None))
    _emit(attending, nodes[attend + 1 : add])
    _emit(other, mlp[last + 1 : down])
    _emit(attending, nodes[add:])
    _vectors(other, mlp[down:])
    _emit(other, mlp[down:])


def _emit(scope: Scope, nodes: Sequence[Node]) -> None:
    for node in nodes:
        scope.emit.origin = _origin(scope, node)
        emit_node(scope, node, scope.rows)


def _origin(scope: Scope, node: Node) -> str:
    behind = scope.stream is not None and scope.stream.layer != "layer"
    return node.unit.replace("layers.*", "layers.*-1") if behind else node.unit


def _vectors(scope: Scope, nodes: Sequence[Node]) -> None:
    """Load the vectors of the MLP again, where it has biases: the other half's may be there."""
    for node in nodes:
        if node.op == "bias":
            name, vectors = scope.vectors_of(node.parameters[0])
            scope.emit.origin = _origin(scope, node)
            load_vectors(scope, name, vectors, scope.layer(vectors.offset))
            return


def _tiles(scope: Scope, node: Node) -> Callable[[], None] | None:
    """Return what emits the part of a product that goes with attention head `head`.

    Each part is some scale beats' worth of row blocks, so it begins with beats of its own. None
    where there are too few for every head, where they do not end with a word, or where a stride or
    a row needs a register of its own, which none is left for.
    """
    emit, heads = scope.emit, scope.graph.architecture.heads
    matrix = scope.run.section.matrices[node.unit]
    rows = SCALES_PER_BEAT * matrix.format.pattern.segments * scope.design.rows
    units = -(-matrix.blocks // SCALES_PER_BEAT)
    long = scope.row_words(node.output) > _MOST_STRIDE or matrix.groups > _MOST_GROUPS
    if units < heads or rows % scope.design.sfu.lanes or long:
        return None
    shape = matrix.fields
    engine = engine_of(True)

    def part() -> None:
        with emit.scratch():
            multiply()

    def multiply() -> None:
        emit.origin = _origin(scope, node)
        emit.alu("SMUL", "address", "head", units)
        emit.alu("SDIV", "address", "address", heads)
        emit.add("count", "head", 1)
        emit.alu("SMUL", "count", "count", units)
        emit.alu("SDIV", "count", "count", heads)
        emit.alu("SSUB", "count", "count", emit.reg("address"))
        emit.alu("SMUL", "count", "count", SCALES_PER_BEAT)
        emit.alu("SMUL", "last", "address", SCALES_PER_BEAT)
        emit.alu("SSUB", "last", None, emit.reg("last"))
        emit.add("last", "last", matrix.blocks)
        emit.alu("SMIN", "count", "count", emit.reg("last"))
        emit.alu("SMUL", "last", "address", matrix.format.beats(SCALES_PER_BEAT, matrix.groups))
        emit.add("last", "last", scope.layer(0))
        emit.op(
            "LD.W",
            to=engine.name,
            addr=emit.reg("last", matrix.offset),
            blocks=emit.reg("count"),
            **shape,
        )
        emit.alu("SMUL", "last", "address", rows)
        emit.alu("SSUB", "last", None, emit.reg("last"))
        emit.add("last", "last", matrix.outputs)
        emit.alu("SMUL", "count", "count", rows // SCALES_PER_BEAT)
        emit.alu("SMIN", "count", "count", emit.reg("last"))
        emit.alu("SMUL", "address", "address", scope.words(rows))
        emit.op(
            engine.name,
            reads=scope.touch(node.inputs[0]),
            writes=scope.touch(node.output),
            src=scope.activation(node.inputs[0]),
            outputs=emit.reg("count"),
            rows=scope.many,
            dst=emit.reg("address", scope.vector(node.output)),
            stride=scope.row_words(node.output),
            **shape,
        )

    return part
