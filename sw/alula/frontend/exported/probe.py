"""Made-up inputs, comparison of results, and the way to say that they differ."""

import torch
from torch import Tensor

from alula.frontend.refusal import Refusal

TOLERANCE = 1e-5
"""Largest difference of equal results, relative to their largest element: float32 passes, the two
forms of GELU do not."""


class Undescribed(Exception):
    """A part of a module that no `Architecture` describes."""

    def __init__(self, unit: str, reason: str, limit: str, actual: object, nearest: str) -> None:
        super().__init__(reason)
        self.refusal = Refusal(unit, reason, limit, str(actual), nearest)


def noise(shape: tuple[int, ...]) -> Tensor:
    """The same normally distributed float32 numbers every time."""
    return torch.randn(shape, generator=torch.Generator().manual_seed(0))


def difference(actual: Tensor, expected: Tensor) -> float:
    """The largest difference relative to the largest element; infinite for other shapes or NaN."""
    if actual.shape != expected.shape:
        return torch.inf
    worst = (actual - expected).abs().max() / expected.abs().max()
    return torch.inf if worst.isnan() else worst.item()


def close(actual: Tensor, expected: Tensor) -> bool:
    """Whether two results are equal within `TOLERANCE`."""
    return difference(actual, expected) <= TOLERANCE
