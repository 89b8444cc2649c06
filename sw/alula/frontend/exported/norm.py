"""Normalisation in an exported graph: its weights by size, the rest by behaviour."""

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.fx import Node

from alula.frontend.exported.graph import RecordedGraph
from alula.frontend.exported.probe import Undescribed, close, noise


@dataclass(frozen=True)
class NormOperation:
    """RMSNorm (``bias`` is None) or LayerNorm over the last dimension."""

    weight: Tensor
    bias: Tensor | None
    eps: float

    @property
    def kind(self) -> str:
        """The name that `Architecture` has for it."""
        return "rmsnorm" if self.bias is None else "layernorm"

    def centred(self, values: Tensor) -> Tensor:
        """The values, less their mean for LayerNorm."""
        return values if self.bias is None else values - values.mean(-1, keepdim=True)

    def __call__(self, values: Tensor) -> Tensor:
        """The normalised values, same shape."""
        centred = self.centred(values)
        square = centred.square().mean(-1, keepdim=True)
        result = centred * (square + self.eps).rsqrt() * self.weight
        return result if self.bias is None else result + self.bias

    def tensors(self, name: str) -> dict[str, Tensor]:
        """Weight and bias by canonical name."""
        found = {f"{name}.weight": self.weight}
        return found if self.bias is None else found | {f"{name}.bias": self.bias}


def match_norm(graph: RecordedGraph, unit: str, stream: Node, normed: Node) -> NormOperation:
    """The norm that gives ``normed`` of ``stream``; weights left out are ones, biases zeros.

    Raises:
        Undescribed: It is neither RMSNorm nor LayerNorm.
    """
    region = graph.between([stream], [normed])
    size = graph.value(stream).shape[-1]
    vectors = [
        graph.value(node).reshape(-1)
        for node in graph.constants_into(region)
        if graph.value(node).numel() == size
    ]
    if region and len(vectors) <= 2:
        weight, bias = (*vectors, *(torch.ones(size), torch.zeros(size))[len(vectors) :])
        probe = noise(graph.value(stream).shape)
        # The mean square of a faint input is below eps, so that eps shows in the result.
        faint = probe * 1e-4
        actual = graph.evaluate(normed, {stream: probe}).reshape(probe.shape)
        answer = graph.evaluate(normed, {stream: faint}).reshape(probe.shape)
        for norm in (NormOperation(weight, None, 0.0), NormOperation(weight, bias, 0.0)):
            norm = NormOperation(weight, norm.bias, _eps(norm, faint, answer))
            if (norm.bias is not None or len(vectors) < 2) and close(actual, norm(probe)):
                return norm
    raise Undescribed(unit, "normalisation", "RMSNorm or LayerNorm", graph.names(region), "RMSNorm")


def _eps(norm: NormOperation, values: Tensor, answer: Tensor) -> float:
    """The eps with which the norm gives ``answer`` for ``values``, to four digits."""
    centred = norm.centred(values).double()
    weighted = centred * norm.weight
    answer = answer if norm.bias is None else answer - norm.bias
    factor = (answer * weighted).sum(-1) / weighted.square().sum(-1)
    eps = (factor**-2 - centred.square().mean(-1)).mean()
    return max(float(f"{eps.item():.4g}"), 0.0) if eps.isfinite() else 0.0
