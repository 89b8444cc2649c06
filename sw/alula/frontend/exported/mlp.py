"""The MLP of a layer in an exported graph."""

from collections.abc import Callable
from typing import Any

from torch import Tensor

from alula.frontend.activations import ACTIVATIONS
from alula.frontend.exported.branch import Branch
from alula.frontend.exported.graph import RecordedGraph
from alula.frontend.exported.probe import TOLERANCE, Undescribed, difference, noise


def match_mlp(
    graph: RecordedGraph, unit: str, branch: Branch
) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """Fields of `Architecture` and tensors of an MLP branch.

    Raises:
        Undescribed: It is no plain or gated MLP, or has another activation.
    """
    inner = branch.output.weight.shape[1]
    ways = [
        (one, slice(start, start + inner))
        for one in branch.inputs
        for start in range(0, one.weight.shape[0], inner)
    ]
    if len(ways) > 2 or sum(one.weight.shape[0] for one in branch.inputs) != len(ways) * inner:
        sizes = ", ".join(str(one.weight.shape[0]) for one in branch.inputs)
        raise Undescribed(
            f"{unit}.mlp", "linear maps", f"one or two to {inner}", sizes, "gated MLP"
        )
    given = {one.output: 3 * noise(graph.value(one.output).shape) for one in branch.inputs}
    result = graph.evaluate(branch.output.input, given)
    values = [given[one.output][..., rows].reshape(result.shape) for one, rows in ways]
    errors = {
        (name, gate): difference(result, _mlp(activation, values, gate))
        for name, activation in ACTIVATIONS.items()
        for gate in range(len(ways))
    }
    (name, gate), error = min(errors.items(), key=lambda item: item[1])
    if error > TOLERANCE:
        known = ", ".join(ACTIVATIONS)
        between = graph.names(graph.between(given, [branch.output.input]))
        raise Undescribed(f"{unit}.mlp", "activation", known, between, "gated SiLU")
    roles = {"mlp.gate": ways[gate], "mlp.up": ways[1 - gate]} if len(ways) == 2 else {}
    tensors = {"mlp.down.weight": branch.output.weight}
    if branch.output.bias is not None:
        tensors["mlp.down.bias"] = branch.output.bias
    for role, (one, rows) in (roles or {"mlp.up": ways[0]}).items():
        tensors[f"{role}.weight"] = one.weight[rows]
        if one.bias is not None:
            tensors[f"{role}.bias"] = one.bias[rows]
    fields = {"activation": name, "gated_mlp": len(ways) == 2, "intermediate_size": inner}
    return fields, tensors


def _mlp(activation: Callable[[Tensor], Tensor], values: list[Tensor], gate: int) -> Tensor:
    result = activation(values[gate])
    return result * values[1 - gate] if len(values) == 2 else result
