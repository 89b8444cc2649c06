"""Rope, recognised by what it does to queries and keys."""

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from alula.frontend.exported.probe import close
from alula.frontend.rope import inverse_frequencies

LAYOUTS = ("half", "adjacent")
"""Which elements turn together: ``i`` and ``i + d/2``, or ``2i`` and ``2i + 1``."""


def to_pairs(values: Tensor, layout: str) -> Tensor:
    """``[..., d]`` to complex128 ``[..., d/2]``."""
    if layout == "half":
        first, second = values.chunk(2, dim=-1)
    else:
        first, second = values[..., 0::2], values[..., 1::2]
    return torch.complex(first.double(), second.double())


def from_pairs(pairs: Tensor) -> Tensor:
    """Complex ``[..., d/2]`` to the half-split ``[..., d]``."""
    return torch.cat((pairs.real, pairs.imag), dim=-1)


@dataclass(frozen=True)
class Rotation:
    """Pairs of elements turned by position times frequency, and scaled.

    Attributes:
        layout: One of `LAYOUTS`.
        frequencies: Radians a position, ``[d/2]``.
        factor: Scale of every element.
    """

    layout: str
    frequencies: Tensor
    factor: float

    @property
    def turns(self) -> bool:
        """Whether positions make any difference."""
        return bool(self.frequencies.abs().max() > 1e-6)

    def agrees(self, other: "Rotation") -> bool:
        """Whether the angles are the same."""
        same = torch.allclose(self.frequencies, other.frequencies, rtol=1e-5, atol=1e-7)
        return same and self.layout == other.layout

    def rounded(self) -> tuple[float, ...]:
        """The frequencies, replaced by powers of a round base where those fit."""
        measured = self.frequencies.tolist()
        if len(measured) > 1 and measured[0] > 0 and measured[1] > 0:
            size = 2 * len(measured)
            base = float(f"{(measured[0] / measured[1]) ** (size / 2):.4g}")
            scale = float(f"{measured[0]:.6g}")
            exact = tuple(scale * frequency for frequency in inverse_frequencies(size, base))
            if all(abs(a - b) < 1e-7 for a, b in zip(exact, measured, strict=True)):
                return exact
        return tuple(measured)

    def apply(self, values: Tensor) -> Tensor:
        """Turns ``[tokens, heads, d]`` from position 0 on, unscaled; the result is half-split."""
        angles = torch.arange(values.shape[0], dtype=torch.float64).outer(self.frequencies)
        turned = (
            to_pairs(values, self.layout) * torch.polar(torch.ones_like(angles), angles)[:, None]
        )
        return from_pairs(turned)


def match_rotation(before: Tensor, after: Tensor) -> Rotation | None:
    """The rotation from ``before`` to ``after``, both ``[tokens, heads, d]``; None if none."""
    if before.shape != after.shape or before.shape[-1] % 2:
        return None
    for layout in LAYOUTS:
        source, result = to_pairs(before, layout), to_pairs(after, layout)
        ratio = (result * source.conj()).sum(1) / source.abs().square().sum(1)
        factor = ratio.abs().mean()
        if close(ratio[:, None] * source, result) and close(
            ratio.abs(), factor.expand(ratio.shape)
        ):
            return Rotation(layout, _frequencies((ratio / ratio[0]).angle()), factor.item())
    return None


def _frequencies(phases: Tensor) -> Tensor:
    """Radians a position out of phases ``[tokens, pairs]``, more precise with every token."""
    frequencies = phases[1]
    for position in range(2, len(phases)):
        turns = ((frequencies * position - phases[position]) / (2 * math.pi)).round()
        frequencies = (phases[position] + 2 * math.pi * turns) / position
    return frequencies
