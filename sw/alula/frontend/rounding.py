"""How far float32 takes a model from what it would give in exact numbers."""

from collections.abc import Sequence

import torch
from torch import Tensor

from alula.frontend.float_reference import FloatReference
from alula.quant.source import Source

_LEAST = 2.0**-21
"""Of the range of values: a few roundings of the result itself."""


class _Exact(FloatReference):
    """The model in float64, in place of exact numbers."""

    def __init__(self, checkpoint: Source) -> None:
        super().__init__(checkpoint)
        self._dtype = torch.float64

    def unit(self, name: str) -> dict[str, Tensor]:
        return {part: values.double() for part, values in super().unit(name).items()}


class _Rounded(FloatReference):
    """The model in float32, angles of rope included, as models are usually written."""

    def _angles(self, length: int) -> Tensor:
        frequencies = torch.tensor(self.architecture.rope_inverse_frequencies, dtype=torch.float32)
        return torch.arange(length, dtype=torch.float32).outer(frequencies)


def difference(actual: Tensor, expected: Tensor) -> Tensor:
    """The largest difference at each position, by the range of zero and the values expected there.

    Both are ``[tokens, values]``. Equal infinities are no difference; infinite where NaN, or only
    one infinity, is involved.
    """
    worst = torch.where(actual == expected, 0.0, (actual - expected).abs()).amax(-1)
    finite = torch.where(expected.isfinite(), expected, 0.0)
    scale = finite.amax(-1).clamp(min=0) - finite.amin(-1).clamp(max=0)
    return torch.where(worst == 0, 0.0, worst / scale).nan_to_num(nan=torch.inf, posinf=torch.inf)


def rounding(checkpoint: Source, ids: Sequence[int]) -> float:
    """The largest `difference` of the logits between float32 and exact numbers over a text."""
    exact, rounded = _Exact(checkpoint).logits(ids), _Rounded(checkpoint).logits(ids)
    return max(difference(rounded.double(), exact).max().item(), _LEAST)
