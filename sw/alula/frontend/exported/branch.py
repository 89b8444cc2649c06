"""A branch of the residual stream: norm, linear maps, something between, one linear map back."""

from dataclasses import dataclass

from torch.fx import Node

from alula.frontend.exported.graph import LinearNode, RecordedGraph
from alula.frontend.exported.norm import NormOperation, match_norm
from alula.frontend.exported.probe import Undescribed


@dataclass(frozen=True)
class Branch:
    """What `match_branch` finds.

    Attributes:
        nodes: Everything between the stream and the branch's result.
        norm: The norm at the start.
        inputs: The linear maps of the normed values, in order.
        output: The linear map at the end.
    """

    nodes: list[Node]
    norm: NormOperation
    inputs: list[LinearNode]
    output: LinearNode


def linear_at(graph: RecordedGraph, node: Node) -> LinearNode | None:
    """The linear map whose result is ``node``, if it is one's."""
    node = graph.strip(node)
    candidates = [
        node,
        *(graph.strip(item) for item in node.all_input_nodes if graph.is_data(item)),
    ]
    return next((one for one in graph.linears(candidates) if one.output is node), None)


def match_branch(graph: RecordedGraph, unit: str, stream: Node, result: Node) -> Branch:
    """The branch from ``stream`` to ``result``.

    Raises:
        Undescribed: It does not start with one norm or does not end with one linear map.
    """
    nodes = graph.between([stream], [result])
    output = linear_at(graph, result)
    if output is None:
        raise Undescribed(
            unit, "end of a branch", "a linear map", graph.names([graph.strip(result)]), "pre-norm"
        )
    inputs = [one for one in graph.linears(nodes) if one.output is not output.output]
    normed = {graph.strip(one.input) for one in inputs}
    if len(normed) != 1:
        raise Undescribed(
            unit,
            "linear maps in a row",
            "one into a branch, one out",
            f"{len(inputs) + 1}",
            "plain",
        )
    return Branch(nodes, match_norm(graph, unit, stream, normed.pop()), inputs, output)
