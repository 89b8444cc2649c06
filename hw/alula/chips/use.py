"""Resources of a part, and how much of them a netlist takes."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import astuple, dataclass, fields
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from alula.design.part import Part


@dataclass(frozen=True)
class Use:
    """How much of each resource of a part.

    Attributes:
        lut: look-up tables, those that are memory or shift registers included.
        ff: flip-flops.
        dsp: DSP blocks.
        bram36: block RAMs of 36 Kbit; one of 18 Kbit is a half.
        uram: UltraRAMs.
    """

    lut: int = 0
    ff: int = 0
    dsp: int = 0
    bram36: float = 0
    uram: int = 0

    def __add__(self, other: Use) -> Use:
        return Use(*(a + b for a, b in zip(astuple(self), astuple(other), strict=True)))

    def __mul__(self, count: int) -> Use:
        return Use(*(value * count for value in astuple(self)))

    def shares(self, part: Part) -> dict[str, float]:
        """Return each resource's share of what the part has, of those it has."""
        return {name: value / most for name, value, most in self._beside(part) if most}

    def fits(self, part: Part) -> bool:
        """Whether the part has all of it."""
        return all(value <= most for _, value, most in self._beside(part))

    def _beside(self, part: Part) -> Iterator[tuple[str, float, int]]:
        for field in fields(self):
            yield field.name, getattr(self, field.name), getattr(part, field.name)
