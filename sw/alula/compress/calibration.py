"""Second moments of what goes into each matrix, layer by layer, on calibration text."""

from dataclasses import dataclass

import torch
from torch import Tensor

from alula.frontend.float_reference import FloatReference
from alula.quant.source import Source

SHARED = (("attn.q", "attn.k", "attn.v"), ("attn.o",), ("mlp.gate", "mlp.up"), ("mlp.down",))
"""The matrices of a layer in the order they run, those that read the same input together."""
_BATCH = 8
"""Windows that go through a layer together."""
_DAMPING = 0.01


@dataclass
class Moments:
    """Of inputs x of a matrix in the compressed model and y in the dense one.

    Attributes:
        own: sum of x x^T over tokens, float64 ``[K, K]``.
        cross: sum of y x^T.
    """

    own: Tensor
    cross: Tensor

    def __add__(self, other: "Moments") -> "Moments":
        return Moments(self.own + other.own, self.cross + other.cross)

    def target(self, weight: Tensor, damping: float = _DAMPING) -> Tensor:
        """The weights whose product with x is nearest to that of `weight` with y."""
        own = self.own.clone()
        own.diagonal().add_(damping * own.diagonal().mean())
        difference = self.cross - self.own
        shift = torch.linalg.solve(own, difference.T).T
        return weight + (weight.double() @ shift).to(weight)


class Recorder(FloatReference):
    """A float model whose weights can be changed, and which tells what goes into a matrix."""

    def __init__(self, checkpoint: Source, device: str | torch.device = "cpu") -> None:
        super().__init__(checkpoint, device)
        self._inputs: dict[str, Tensor] = {}

    def input(self, index: int, name: str, hidden: Tensor, positions: Tensor) -> Tensor:
        """What goes into a matrix of a layer, ``[all tokens, K]``."""
        self.layer(index, hidden, positions)
        return self._inputs[name].flatten(0, -2)

    def _project(self, values: Tensor, weights: dict[str, Tensor], name: str) -> Tensor:
        self._inputs[name] = values
        return super()._project(values, weights, name)


def moments(
    dense: Recorder,
    ours: Recorder,
    index: int,
    name: str,
    windows: tuple[Tensor, Tensor],
) -> Moments:
    """Moments of the input of matrix `name` of a layer.

    Args:
        dense: the model as it is.
        ours: the same with the compressed weights of what comes before.
        index: the layer.
        name: the matrix; those that read the same input have the same moments.
        windows: hidden states in front of the layer, dense and ours, ``[windows, tokens, hidden]``.
    """
    inputs = dense.unit(f"layers.{index}")[f"{name}.weight"].shape[1]
    nothing = torch.zeros(inputs, inputs, dtype=torch.float64, device=dense.device)
    found = Moments(nothing, nothing)
    positions = torch.arange(windows[0].shape[1], device=dense.device)
    for one, two in zip(*(part.split(_BATCH) for part in windows), strict=True):
        y, x = dense.input(index, name, one, positions), ours.input(index, name, two, positions)
        found += Moments((x.T @ x).double(), (y.T @ x).double())
    return found
