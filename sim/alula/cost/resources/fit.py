"""Fits what modules take to what synthesis found of designs."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from scipy.optimize import nnls

from alula.chips import Use
from alula.cost.resources.composition import Fit, compose
from alula.cost.resources.modules import KINDS, MEASURES, Dimensions, Kind
from alula.design import load_design

NAMES = ("lut", "ff", "ns")
ERRORS = ("lut", "ff", "dsp", "bram36", "uram", "mhz")
_SHRINK = 0.02
"""How strongly weights are held small, as a share of what was found: it decides where the designs
do not tell measures apart."""
_LEAST = 0.01
"""Errors are shares of what was found, or of this share of the most that was found of a kind."""


@dataclass(frozen=True)
class Module:
    """All modules of one class that a design has, as synthesised.

    Attributes:
        kind: the class.
        count: how many they are.
        lut, ff, dsp, bram36, uram: what all of them take.
        ns: of the longest path in one of them; None where it is not known.
    """

    kind: str
    count: int
    lut: int
    ff: int
    dsp: int
    bram36: float
    uram: int
    ns: float | None

    @property
    def use(self) -> Use:
        """All of them."""
        return Use(self.lut, self.ff, self.dsp, self.bram36, self.uram)


@dataclass(frozen=True)
class Synthesised:
    """A design as it was synthesised, whole or some of its modules.

    Attributes:
        chip: its multipliers, which tell chip families apart.
        dimensions: of the design.
        held_out: nothing is fitted to it.
        modules: by class.
        declared: dsp, bram36 and uram as the design declares them.
        ns: of the longest path of the whole; None where not all modules were synthesised.
    """

    chip: str
    dimensions: Dimensions
    declared: Mapping[str, float]
    held_out: bool
    modules: tuple[Module, ...]
    ns: float | None

    @property
    def use(self) -> Use:
        """All modules."""
        return sum((item.use for item in self.modules), Use())

    @classmethod
    def read(cls, values: Mapping[str, Any]) -> "Synthesised":
        """Return one as it stands in `synthesised.json`."""
        design = load_design(values["base"]).replace(values["changes"])
        return cls(
            design.family.multiplier,
            Dimensions.of(design),
            {"dsp": design.dsps, **asdict(design.blocks)},
            values["held_out"],
            tuple(Module(**module) for module in values["modules"]),
            values["ns"],
        )


def fitted(designs: Sequence[Synthesised]) -> dict[str, Any]:
    """Return the fits of each chip family and their errors, as they stand in `fitted.json`."""
    chips: dict[str, list[Synthesised]] = defaultdict(list)
    for design in designs:
        chips[design.chip].append(design)
    return {"chips": {chip: _chip(mine) for chip, mine in chips.items()}}


def _chip(designs: Sequence[Synthesised]) -> dict[str, Any]:
    taught = [one for one in designs if not one.held_out]
    whole = [one for one in designs if one.held_out and one.ns is not None]
    values = _weighted(taught)
    rows = [compared(one, Fit.read(values | {"errors": {}})) for one in whole]
    worst = {name: round(max(abs(row[name]) for row in rows), 4) for name in ERRORS if rows}
    return values | {"errors": worst, "held_out": len(rows)}


def _weighted(designs: Sequence[Synthesised]) -> dict[str, Any]:
    """Weights, what lies between modules, and ranges."""
    sizes = zip(*(one.dimensions for one in designs), strict=True)
    return {
        "modules": {
            kind.name: {name: _weights(kind, name, designs) for name in NAMES} for kind in KINDS
        },
        "between_ns": _between(designs),
        "ranges": {
            name: [min(values), max(values)]
            for name, values in zip(Dimensions._fields, sizes, strict=True)
        },
    }


def compared(design: Synthesised, fit: Fit) -> dict[str, float]:
    """Return by resource, and "mhz", what is estimated of a design over what was found, less 1."""
    composed = compose(fit, design.dimensions)
    found = design.use
    estimated = {**design.declared, "lut": composed.lut, "ff": composed.ff}
    errors = {
        name: estimated[name] / value - 1
        if (value := getattr(found, name))
        else float(estimated[name])
        for name in estimated
    }
    if design.ns is None:
        return errors
    return errors | {"mhz": composed.mhz * design.ns / 1000 - 1}


def _between(designs: Iterable[Synthesised]) -> float:
    """The most that the path of a whole was longer than that of its slowest module."""
    found = [one.ns - max(item.ns or 0 for item in one.modules) for one in designs if one.ns]
    return round(max(found, default=0.0), 3)


def _weights(kind: Kind, name: str, designs: Iterable[Synthesised]) -> dict[str, float]:
    """Non-negative weights of a kind's measures, by least squares of relative errors."""
    measures = kind.delay if name == "ns" else kind.size
    rows: dict[tuple[float, ...], float] = {}
    for design in designs:
        at = tuple(MEASURES[one](design.dimensions) for one in measures)
        for item in design.modules:
            value = item.ns if name == "ns" else getattr(item, name) / item.count
            if item.kind == kind.name and value is not None:
                rows[at] = value
    found = np.array(list(rows.values()), np.float64)
    if not found.any():
        return {}
    wide = np.array(list(rows), np.float64)
    scale = np.maximum(found, _LEAST * found.max())
    held = _SHRINK * wide.max(axis=0) / scale.mean()
    held[[one == "one" for one in measures]] = 0
    weights, _ = nnls(
        np.concatenate([wide / scale[:, None], np.diag(held)]),
        np.concatenate([found / scale, np.zeros(len(measures))]),
    )
    known = zip(measures, weights, strict=True)
    return {one: float(f"{weight:.6g}") for one, weight in known if weight}
