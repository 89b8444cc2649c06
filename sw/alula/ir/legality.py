"""What a graph may contain after each pass, as a table, and the check against it."""

from collections.abc import Callable
from dataclasses import dataclass

from alula.design import GROUP
from alula.ir.graph import A8, CACHE, FP32, Graph, Node

STAGES = ("lowered", "quantised", "ordered")


class IllegalGraph(ValueError):
    """A graph that breaks a rule of its stage: a defect of a pass."""


@dataclass(frozen=True)
class OperationRule:
    """What an operation takes and gives, as kinds of values, and the stages it may exist in."""

    inputs: tuple[str, ...]
    output: str
    first: str = "lowered"
    last: str = "ordered"


OPS: dict[str, OperationRule] = {
    "embed": OperationRule((), FP32),
    "position": OperationRule((FP32,), FP32),
    "norm": OperationRule((FP32,), FP32),
    "head_norm": OperationRule((FP32,), FP32),
    "bias": OperationRule((FP32,), FP32),
    "rope": OperationRule((FP32,), FP32),
    "activation": OperationRule((FP32,), FP32),
    "gated_activation": OperationRule((FP32, FP32), FP32),
    "add": OperationRule((FP32, FP32), FP32),
    "argmax": OperationRule((FP32,), FP32),
    "linear": OperationRule((FP32,), FP32, last="lowered"),
    "attention": OperationRule((FP32, FP32, FP32), FP32, last="lowered"),
    "quantise": OperationRule((FP32,), A8, first="quantised"),
    "product": OperationRule((A8,), FP32, first="quantised"),
    "append": OperationRule((FP32, FP32), CACHE, first="quantised"),
    "attend": OperationRule((FP32, CACHE), FP32, first="quantised"),
}


def _kinds(graph: Graph, node: Node) -> str | None:
    op = OPS[node.op]
    given = tuple(graph.values[name].kind for name in node.inputs)
    if given != op.inputs:
        return f"inputs of {node.op} must be {op.inputs}, not {given}"
    if graph.values[node.output].kind != op.output:
        return f"output of {node.op} must be {op.output}, not {graph.values[node.output].kind}"
    return None


def _stage(graph: Graph, node: Node) -> str | None:
    op = OPS[node.op]
    if not STAGES.index(op.first) <= STAGES.index(graph.stage) <= STAGES.index(op.last):
        return f"stage of {node.op} must be {op.first} to {op.last}, not {graph.stage}"
    return None


def _heads(graph: Graph, node: Node) -> str | None:
    """Heads lie side by side, so each must begin with a group of its own."""
    size = graph.architecture.head_dim
    if node.op in ("append", "attend") and size % GROUP:
        return f"head_dim must be a multiple of {GROUP}, not {size}"
    return None


RULES: tuple[Callable[[Graph, Node], str | None], ...] = (_stage, _kinds, _heads)


def _defined(graph: Graph) -> None:
    known = {"hidden"}
    for section in ("embed", "layer", "head"):
        for node in graph.sections[section]:
            for name in node.inputs:
                if name not in known:
                    raise IllegalGraph(f"{node.unit}: {name} must be defined before it is read")
            known.add(node.output)


def check(graph: Graph) -> Graph:
    """The graph itself if it is legal for its stage. IllegalGraph names unit and rule if not."""
    for node in graph.nodes():
        if node.op not in OPS:
            raise IllegalGraph(f"{node.unit}: op must be one of {', '.join(OPS)}, not {node.op}")
        for rule in RULES:
            fault = rule(graph, node)
            if fault:
                raise IllegalGraph(f"{node.unit}: {fault}")
    _defined(graph)
    return graph
