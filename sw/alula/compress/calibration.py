"""Second moments of what goes into each matrix, layer by layer, on calibration text."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from torch import Tensor

from alula.compress.descent import Curvature
from alula.frontend.float_reference import FloatReference
from alula.ir.precision import HEAD
from alula.quant.banded import WeightMatrix
from alula.quant.source import Source

SHARED = (("attn.q", "attn.k", "attn.v"), ("attn.o",), ("mlp.gate", "mlp.up"), ("mlp.down",))
"""The matrices of a layer in the order they run, those that read the same input together."""
BATCH = 8
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

    @cached_property
    def curvature(self) -> Curvature:
        """Of the compressed model's inputs."""
        return Curvature.of(self.own)

    def __add__(self, other: "Moments") -> "Moments":
        return Moments(self.own + other.own, self.cross + other.cross)

    def target(self, weight: Tensor, damping: float = _DAMPING) -> Tensor:
        """The weights whose product with x is nearest to that of `weight` with y."""
        if self.cross is self.own:
            return weight
        own = self.own.clone()
        own.diagonal().add_(damping * own.diagonal().mean())
        difference = self.cross - self.own
        shift = torch.linalg.solve(own, difference.T).T
        return weight + (weight.double() @ shift).to(weight)


class InputRecorder(FloatReference):
    """A float model whose weights can be changed, and which tells what goes into a matrix."""

    def __init__(self, checkpoint: Source, device: str | torch.device = "cpu") -> None:
        super().__init__(checkpoint, device)
        self._inputs: dict[str, Tensor] = {}

    def input(self, index: int, name: str, hidden: Tensor, positions: Tensor) -> Tensor:
        """What goes into a matrix of a layer, ``[all tokens, K]``."""
        self.layer(index, hidden, positions)
        return self._inputs[name].flatten(0, -2)

    def layer_and_inputs(
        self, index: int, hidden: Tensor, positions: Tensor
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """A layer's output, and what goes into its matrices, ``[all tokens, K]`` by their names."""
        out = self.layer(index, hidden, positions)
        return out, {name: values.flatten(0, -2) for name, values in self._inputs.items()}

    def embedded(self, windows: Sequence[Sequence[int]]) -> Tensor:
        """Hidden states of windows of one length in front of the first layer."""
        ids = torch.tensor(windows, device=self.device)
        return torch.stack([self.embed(one, range(ids.shape[1])) for one in ids])

    @torch.inference_mode()
    def pass_through(self, index: int, hidden: Tensor, kinds: Collection[str]) -> dict[str, Tensor]:
        """Take hidden states of windows through a layer, in place.

        Returns:
            Second moments of what goes into some of its matrices, float64, by name of a matrix.
        """
        found: dict[str, Tensor] = {}
        positions = torch.arange(hidden.shape[1], device=hidden.device)
        for part in hidden.split(BATCH):
            out, inputs = self.layer_and_inputs(index, part, positions)
            for kind in kinds:
                square = (inputs[kind].T @ inputs[kind]).double()
                found[kind] = found[kind] + square if kind in found else square
            part.copy_(out)
        return found

    def head_input(self, hidden: Tensor) -> Tensor:
        """What goes into the head behind the last layer, ``[all tokens, hidden_size]``."""
        return self._norm(hidden, self.unit("head"), "final_norm").flatten(0, -2)

    def forget(self, unit: str) -> None:
        """Free a unit's weights; they are read again when it runs again."""
        self._weights.pop(unit, None)

    def _project(self, values: Tensor, weights: dict[str, Tensor], name: str) -> Tensor:
        self._inputs[name] = values
        return super()._project(values, weights, name)


class Calibration:
    """What goes into each matrix on a text, in the dense model and in ours.

    Ours has the matrices that were chosen so far; hidden states of both go from layer to layer.

    Args:
        source: the dense model, its heads padded.
        windows: token ids, int64 ``[windows, tokens]``.
        device: where both run.
    """

    def __init__(self, source: Source, windows: Tensor, device: torch.device) -> None:
        self._dense, self._ours = InputRecorder(source, device), InputRecorder(source, device)
        windows = windows.to(device)
        self._positions = torch.arange(windows.shape[1], device=device)
        text = torch.stack([self._dense.embed(ids, self._positions) for ids in windows])
        self._hidden = (text, text)

    def moments(self, matrix: str) -> Moments:
        """Moments of the inputs of a matrix; those that read the same input have the same."""
        unit, name = _place(matrix)
        found: Moments | None = None
        for one, two in zip(*(part.split(BATCH) for part in self._hidden), strict=True):
            y, x = (
                model.head_input(hidden)
                if unit is None
                else model.input(unit, name, hidden, self._positions)
                for model, hidden in ((self._dense, one), (self._ours, two))
            )
            part = Moments((x.T @ x).double(), (y.T @ x).double())
            found = part if found is None else found + part
        assert found is not None
        return found

    def take(self, matrix: str, chosen: WeightMatrix, scale: float) -> None:
        """Go on with the matrix that was chosen, which has been multiplied by `scale`."""
        unit, name = _place(matrix)
        weights = torch.from_numpy(chosen.dequantize() / np.float32(scale))
        self._ours.unit(f"layers.{unit}")[f"{name}.weight"] = weights.to(self._ours.device)

    def pass_through(self, index: int) -> None:
        """Hidden states behind a layer."""
        dense, ours = (
            torch.cat([model.layer(index, part, self._positions) for part in hidden.split(BATCH)])
            for model, hidden in zip((self._dense, self._ours), self._hidden, strict=True)
        )
        self._hidden = (dense, ours)
        for model in (self._dense, self._ours):
            model.forget(f"layers.{index}")


def _place(matrix: str) -> tuple[int | None, str]:
    """Layer and name within it; the head has no layer."""
    if matrix == HEAD:
        return None, matrix
    _, index, name = matrix.split(".", 2)
    return int(index), name
