"""A design's resources and clock, composed from fits of its modules."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from alula.chips import Use
from alula.cost.resources.modules import KINDS, MEASURES, Dimensions
from alula.design import Design
from alula.design.error import listed

SYNTHESISED = Path(__file__).with_name("synthesised.json")
FITTED = Path(__file__).with_name("fitted.json")
CACHED = 1 << 16
"""Sizes of designs that are not composed anew."""


class NoEstimate(RuntimeError):
    """Nothing was synthesised for a design's chip."""


@dataclass(frozen=True)
class Resources:
    """What a design takes of its chip, estimated.

    Attributes:
        dsp: DSP blocks.
        lut, ff: look-up tables and flip-flops.
        bram36: block RAMs of 36 Kbit; one of 18 Kbit is a half.
        uram: UltraRAMs.
        mhz: the clock that its longest path allows, not placed.
        slowest: the class of the module that has it.
        errors: by resource and "mhz" the largest error found on synthesised designs, as a share of
            what synthesis found.
        held_out: how many of those nothing was fitted to; without any there are no errors.
        extrapolated: what of the design lies outside of all that was synthesised, by the names of
            `Dimensions`; the errors do not hold for such a design.
    """

    dsp: int
    lut: int
    ff: int
    bram36: float
    uram: int
    mhz: float
    slowest: str
    errors: Mapping[str, float]
    held_out: int
    extrapolated: tuple[str, ...]

    @property
    def use(self) -> Use:
        """What is taken of a part."""
        return Use(self.lut, self.ff, self.dsp, self.bram36, self.uram)

    def as_dict(self) -> dict[str, Any]:
        """Return it as plain values."""
        return {
            **asdict(self.use),
            "mhz": self.mhz,
            "slowest": self.slowest,
            "errors": dict(self.errors),
            "held_out": self.held_out,
            "extrapolated": list(self.extrapolated),
            "source": "estimated",
        }

    def __str__(self) -> str:
        def number(name: str, text: str) -> str:
            error = self.errors.get(name)
            return text if error is None or self.extrapolated else f"{text} within {error:.0%}"

        beyond = f"; extrapolated in {', '.join(self.extrapolated)}" if self.extrapolated else ""
        return (
            f"{number('lut', f'{self.lut:,} LUT')}, {number('ff', f'{self.ff:,} FF')}, "
            f"{self.dsp:,} DSP, {self.bram36:,g} BRAM36, {self.uram:,} URAM, "
            f"{number('mhz', f'{self.mhz:.0f} MHz')}: estimated, not synthesised{beyond}"
        )


def estimate(design: Design) -> Resources:
    """Estimate what a design takes of its chip, and its clock. Nothing is elaborated.

    Raises:
        NoEstimate: nothing was synthesised for its chip.
    """
    chip, dimensions = design.family.multiplier, Dimensions.of(design)
    composed, fit, blocks = composed_of(chip, dimensions), fitted(chip), design.blocks
    return Resources(
        dsp=design.dsps,
        lut=composed.lut,
        ff=composed.ff,
        bram36=blocks.bram36,
        uram=blocks.uram,
        mhz=composed.mhz,
        slowest=composed.slowest,
        errors=fit.errors,
        held_out=fit.held_out,
        extrapolated=fit.beyond(dimensions),
    )


@dataclass(frozen=True)
class Composed:
    """What is composed from modules; see `Resources`."""

    lut: int
    ff: int
    mhz: float
    slowest: str


def compose(fit: "Fit", dimensions: Dimensions) -> Composed:
    """Return look-up tables, flip-flops and clock of a design of these dimensions."""
    counts = np.array([kind.count(dimensions) for kind in KINDS])
    lut, ff, ns = fit.modules(measured(dimensions))
    ns = np.where(counts > 0, ns, 0)
    slowest = int(ns.argmax())
    return Composed(
        lut=round(float(counts @ lut)),
        ff=round(float(counts @ ff)),
        mhz=1000 / (float(ns[slowest]) + fit.between_ns),
        slowest=KINDS[slowest].name,
    )


@lru_cache(maxsize=CACHED)
def composed_of(chip: str, dimensions: Dimensions) -> Composed:
    """As `compose`, by what was fitted to the chip family; kept."""
    return compose(fitted(chip), dimensions)


def measured(dimensions: Dimensions) -> np.ndarray:
    """Return all measures of a design's modules."""
    return np.array([measure(dimensions) for measure in MEASURES.values()], np.float64)


@dataclass(frozen=True)
class Fit:
    """What was fitted to the modules of a chip family.

    Attributes:
        weights: of each measure in look-up tables, flip-flops and ns of each of `KINDS`.
        between_ns: what the paths of a whole are longer than those of its slowest module.
        errors: see `Resources`.
        ranges: least and most of each of `Dimensions` that was synthesised.
    """

    weights: np.ndarray
    between_ns: float
    errors: Mapping[str, float]
    held_out: int
    ranges: tuple[tuple[int, int], ...]

    @classmethod
    def read(cls, values: Mapping[str, Any]) -> "Fit":
        """Return one as it stands in `fitted.json`."""
        weights = np.zeros((3, len(KINDS), len(MEASURES)))
        place = {name: position for position, name in enumerate(MEASURES)}
        for row, kind in enumerate(KINDS):
            for number, name in enumerate(("lut", "ff", "ns")):
                for measure, weight in values["modules"].get(kind.name, {}).get(name, {}).items():
                    weights[number, row, place[measure]] = weight
        ranges = tuple(
            (least, most) for least, most in (values["ranges"][name] for name in Dimensions._fields)
        )
        return cls(weights, values["between_ns"], values["errors"], values["held_out"], ranges)

    def beyond(self, dimensions: Dimensions) -> tuple[str, ...]:
        """Return the names of dimensions that are outside of what was synthesised."""
        named = zip(Dimensions._fields, dimensions, self.ranges, strict=True)
        return tuple(name for name, value, (least, most) in named if not least <= value <= most)

    def modules(self, measures: np.ndarray) -> np.ndarray:
        """Return LUT, FF and ns of one module of each of `KINDS`, as rows."""
        return self.weights @ measures


@lru_cache(maxsize=8)
def fitted(chip: str) -> Fit:
    """Return what was fitted to a chip family, by the name of its multipliers."""
    chips = json.loads(FITTED.read_text(encoding="utf-8"))["chips"]
    if chip not in chips:
        known = listed([name.upper() for name in chips])
        raise NoEstimate(f"{chip.upper()} must be among what was synthesised, not only {known}")
    return Fit.read(chips[chip])
