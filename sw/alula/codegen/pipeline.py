"""Layers of a chunk in two halves, half a layer apart.

While one half is in the attention, which keeps the SFU busy, the other is in the MLP, which keeps
the matrix engine busy. So both run all the time; each half streams the weights for itself. Half 1
is behind: its MLP of a layer runs in the next iteration of the loop over layers, and the first one
is of no rows. (Software pipelining: Lam, PLDI 1988.)
"""

from collections.abc import Sequence
from dataclasses import replace

from alula.codegen.beside import Beside, head_cycles, origin, sfu_cycles
from alula.codegen.half_attention import attend_beside
from alula.codegen.layer import load_vectors
from alula.codegen.queries import Keys, Queries, emit_nodes
from alula.codegen.runs import any_layer, enter_run, next_layer, start_layers
from alula.codegen.scope import Scope, Stream
from alula.ir import Node

_AHEAD = Stream(0, rows="rows0", many="rows0", layer="layer")
_BEHIND = Stream(1, rows="rows1", many="many1", layer="layer")


def emit_layers(scope: Scope) -> None:
    """All layers, for the rows at hand."""
    emit = scope.emit
    emit.alu("SMIN", "rows0", "rows", scope.buffers.rows)
    emit.alu("SSUB", "rows1", "rows", emit.reg("rows0"))
    emit.alu("SMIN", "many1", "rows1", 1)
    emit.alu("SSUB", "many1", "rows1", emit.reg("many1"))
    emit.add("many1", "many1", 1)
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
        emit.add("position", "position", emit.reg("rows0"))
        _side_by_side(behind, ahead)
        emit.origin = "layers.*"
        emit.alu("SSUB", "position", "position", emit.reg("rows0"))
        emit.add("layer_before", "layer", 0)
        next_layer(scope)
    with emit.loop(any_layer(scope)):
        _, mlp = _halves(before)
        _vectors(before, mlp)
        emit_nodes(before, mlp)


def _halves(scope: Scope) -> tuple[list[Node], list[Node]]:
    """Nodes of a layer up to the MLP's quantised input, and those of the MLP."""
    nodes = list(scope.graph.sections["layer"])
    cut = next(i for i, node in enumerate(nodes) if node.unit.endswith(".mlp_norm")) + 2
    return nodes[:cut], nodes[cut:]


def _side_by_side(attending: Scope, other: Scope) -> None:
    """One half goes from its norm to the MLP's input, the other through its MLP.

    What the SFU does for the one is hidden by products of the other: norm, rotation and queries,
    heads, and the attention's quantisation.
    """
    nodes, mlp = _halves(attending)
    first = next(index for index, node in enumerate(nodes) if node.op == "product")
    attend = next(index for index, node in enumerate(nodes) if node.op == "attend")
    last = max(index for index, node in enumerate(nodes[:attend]) if node.op == "product")
    output = next(
        index for index, node in enumerate(nodes) if index > attend and node.op == "product"
    )
    add = next(index for index, node in enumerate(nodes) if index > attend and node.op == "add")
    activation = next(index for index, node in enumerate(mlp) if "activation" in node.op)
    down = next(
        index for index, node in enumerate(mlp) if index > activation and node.op == "product"
    )
    place = nodes[output].inputs[0]
    keys = Keys(attending, nodes[first:last])
    queries = Queries(attending, nodes[last:attend], place, keys.left)
    norm = sfu_cycles(attending, [mlp[-1], *nodes[:first]])
    quantised = sfu_cycles(attending, nodes[attend + 1 : output])
    products = [node for node in mlp[:down] if node.op == "product"]
    around = norm + queries.left + quantised
    beside = Beside(other, products, around, head_cycles(attending))

    _vectors(other, mlp)
    emit_nodes(attending, nodes[:first])
    beside.hide(norm)
    keys.emit()
    queries.emit()
    beside.hide(queries.left)
    attending.emit.origin = nodes[attend].unit
    with attending.emit.scratch():
        attend_beside(attending, nodes[attend], place, beside.beside_head)
    beside.rest()
    emit_nodes(attending, nodes[attend + 1 : add])
    emit_nodes(other, [node for node in mlp[:down] if node.op != "product"])
    emit_nodes(attending, nodes[add:])
    _vectors(other, mlp[down:])
    emit_nodes(other, mlp[down:])


def _vectors(scope: Scope, nodes: Sequence[Node]) -> None:
    """Load the vectors of the MLP again, where it has biases: the other half's may be there."""
    for node in nodes:
        if node.op == "bias":
            name, vectors = scope.vectors_of(node.parameters[0])
            scope.emit.origin = origin(scope, node)
            load_vectors(scope, name, vectors, scope.layer(vectors.offset))
            return
