"""The passes from a lowered graph to one that code can be generated from, each checked."""

from dataclasses import replace

from alula.ir.architecture import Architecture
from alula.ir.graph import A8, CACHE, Graph, Node, Value
from alula.ir.legality import check
from alula.ir.limits import check_limits
from alula.ir.lower import lower


def quantise(graph: Graph) -> Graph:
    """Every linear map becomes a product of quantised activations, attention works on the cache.

    One `quantise` node serves all maps that read the same value.
    """
    values = dict(graph.values)
    values["cache"] = Value("cache", CACHE, 2 * graph.architecture.kv_size)
    sections = {}
    for name, nodes in graph.sections.items():
        result: list[Node] = []
        fresh: set[str] = set()
        for node in nodes:
            if node.op == "linear":
                source = node.inputs[0]
                target = f"{source}.a8"
                if source not in fresh:
                    values[target] = Value(target, A8, values[source].width)
                    result.append(Node("quantise", node.unit, (source,), target))
                    fresh.add(source)
                result.append(replace(node, op="product", inputs=(target,)))
            elif node.op == "attention":
                query, key, value = node.inputs
                result.append(Node("append", node.unit, (key, value), "cache"))
                result.append(Node("attend", node.unit, (query, "cache"), node.output))
            else:
                result.append(node)
            fresh.discard(node.output)
        sections[name] = tuple(result)
    return Graph(graph.architecture, "quantised", values, sections)


def order(graph: Graph) -> Graph:
    """Keys and values before queries: their way to memory hides behind the query weights."""
    nodes = graph.sections["layer"]
    queries = [node for node in nodes if node.output == "q"]
    cached = [node for node in nodes if node.output in ("k", "v", "cache")]
    moved = {*queries, *cached}
    first = nodes.index(queries[0])
    rest_before = [node for node in nodes[:first] if node not in moved]
    rest_after = [node for node in nodes[first:] if node not in moved]
    sections = dict(graph.sections)
    sections["layer"] = (*rest_before, *cached, *queries, *rest_after)
    return replace(graph, stage="ordered", sections=sections)


def build_graph(architecture: Architecture) -> Graph:
    """The graph of a model, ready for placement. UnsupportedShape if the formats cannot hold it."""
    check_limits(architecture)
    graph = check(lower(architecture))
    for step in (quantise, order):
        graph = check(step(graph))
    return graph
