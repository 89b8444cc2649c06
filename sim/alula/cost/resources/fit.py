"""Fits what modules take to what synthesis found of designs."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
from scipy.optimize import nnls

from alula.chips import Use
from alula.cost.resources.composition import Fit, compose
from alula.cost.resources.modules import KINDS, MEASURES, Dimensions, Kind
from alula.design import load_design

NAMES = ("lut", "ff", "ns")
ERRORS = ("lut", "ff", "dsp", "bram36", "uram", "mhz")
_GROWN = 0.3
"""The weight of what is reckoned from a module that was not synthesised; of others it is 1."""
_APART = 0.3
"""Sizes that differ by less than this share of the largest count as one."""
_ROUNDING = 1e-9
"""A weight below it is what rounding leaves of none, something else on each processor."""
_SHRINK = 0.01
"""How strongly weights are held small, as a share of what was found: it decides where the designs
do not tell measures apart."""
_LEAST = 0.01
"""Errors are shares of what was found, or of this share of the most that was found of a kind."""


@dataclass(frozen=True)
class ModuleFit:
    """All modules of one class that a design has.

    Attributes:
        kind: the class.
        count: how many they are.
        registers, logic: of one of them before it is mapped: bits, and LUTs, about.
        use: what all of them take as synthesised; None where they were not.
        ns: of the longest path in one of them; None where it is not known.
    """

    kind: str
    count: int
    registers: int
    logic: float
    use: Use | None
    ns: float | None

    @classmethod
    def read(cls, values: Mapping[str, Any]) -> "ModuleFit":
        """Return one as it stands in `synthesised.json`."""
        use = values["use"]
        return cls(**{**values, "use": None if use is None else Use(**use)})

    def found(self, name: str) -> float | None:
        """What was synthesised of one of them, by the names of `NAMES`."""
        if name == "ns":
            return self.ns
        return None if self.use is None else getattr(self.use, name) / self.count

    def before(self, name: str) -> float:
        """What `found` is nearly proportional to."""
        return self.registers if name == "ff" else self.logic


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
    modules: tuple[ModuleFit, ...]
    ns: float | None

    @property
    def counts(self) -> bool:
        """Whether it was synthesised, its matrix engine at least: it is within what is known."""
        return any(item.kind == "Mpe" and item.use for item in self.modules)

    @property
    def use(self) -> Use:
        """All modules that were synthesised."""
        return sum((item.use for item in self.modules if item.use), Use())

    @classmethod
    def read(cls, values: Mapping[str, Any]) -> "Synthesised":
        """Return one as it stands in `synthesised.json`."""
        design = load_design(values["base"]).replace(values["changes"])
        return cls(
            design.family.multiplier,
            Dimensions.of(design),
            {"dsp": design.dsps, **asdict(design.blocks)},
            values["held_out"],
            tuple(map(ModuleFit.read, values["modules"])),
            values["ns"],
        )


def fitted(designs: Sequence[Synthesised]) -> dict[str, Any]:
    """Return the fits of each chip family and their errors, as they stand in `fitted.json`."""
    chips: dict[str, list[Synthesised]] = defaultdict(list)
    for design in designs:
        chips[design.chip].append(design)
    every = [one for one in designs if not one.held_out]
    return {"chips": {chip: _chip(mine, every) for chip, mine in chips.items()}}


def _chip(designs: Sequence[Synthesised], every: Sequence[Synthesised]) -> dict[str, Any]:
    whole = [one for one in designs if one.ns is not None]
    held_out = [one for one in whole if one.held_out]
    mine = [_apart(one, held_out) for one in designs if not one.held_out]
    known = [one for one in designs if one.counts] or designs
    sizes = zip(*(one.dimensions for one in known), strict=True)
    values = {
        "modules": {
            kind.name: {name: _weights(kind, name, mine, every) for name in NAMES} for kind in KINDS
        },
        "between_ns": _between(one for one in whole if not one.held_out),
        "ranges": {
            name: [min(values), max(values)]
            for name, values in zip(Dimensions._fields, sizes, strict=True)
        },
    }
    rows = [compared(one, Fit.read({**values, "errors": {}, "held_out": 0})) for one in whole]
    worst = {name: round(max(abs(row[name]) for row in rows), 4) for name in ERRORS if held_out}
    return {**values, "errors": worst, "held_out": len(held_out)}


def _apart(design: Synthesised, held_out: Sequence[Synthesised]) -> Synthesised:
    """Return a design without what was synthesised of modules that a held-out one has too.

    Those that are the same in all designs stay.
    """
    kinds = {kind.name: kind for kind in KINDS}

    def apart(item: ModuleFit) -> ModuleFit:
        measures = sorted({*kinds[item.kind].size, *kinds[item.kind].delay} - {"one", "sparse"})
        at = _at(measures, design.dimensions)
        same = any(_at(measures, one.dimensions) == at for one in held_out)
        return replace(item, use=None, ns=None) if measures and same else item

    return replace(design, modules=tuple(map(apart, design.modules)))


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
    """How much longer the path of a whole was than that of its slowest module, on average."""
    found = [one.ns - max(item.ns or 0 for item in one.modules) for one in designs if one.ns]
    return round(float(np.mean(found)), 3) if found else 0.0


def _weights(
    kind: Kind, name: str, mine: Sequence[Synthesised], every: Sequence[Synthesised]
) -> dict[str, float]:
    """Non-negative weights of a kind's measures, by least squares of relative errors.

    Args:
        kind: whose.
        name: of what, one of `NAMES`.
        mine: designs of the chip family.
        every: designs of all families: how a kind grows before it is mapped is the same for all.
    """
    measures = kind.delay if name == "ns" else kind.size
    rows = [
        (_at(measures, dimensions), found, 1.0)
        for dimensions, _, found in _synthesised(mine, name, kind)
    ]
    known = {at for at, *_ in rows}
    if name != "ns" and len(measures) > 1:
        slope = _slope(kind, name, mine)
        for one in every:
            at = _at(measures, one.dimensions)
            for item in one.modules:
                if item.kind == kind.name and at not in known:
                    known.add(at)
                    rows.append((at, float(slope @ [1, item.before(name)]), _GROWN))
    if not any(found for _, found, _ in rows):
        return {}
    wide, found, weight = (np.array(column, np.float64) for column in zip(*rows, strict=True))
    scale = np.maximum(found, _LEAST * found.max()) / weight
    held = _SHRINK * wide.max(axis=0) / found.mean()
    held[[one == "one" for one in measures]] = 0
    weights, _ = nnls(
        np.concatenate([wide / scale[:, None], np.diag(held)]),
        np.concatenate([found / scale, np.zeros(len(measures))]),
    )
    named = zip(measures, weights, strict=True)
    return {one: float(f"{weight:.6g}") for one, weight in named if weight > _ROUNDING}


def _synthesised(
    designs: Iterable[Synthesised], name: str, kind: Kind | None = None
) -> list[tuple[Dimensions, ModuleFit, float]]:
    """Return where modules were synthesised, of one kind or of all, and what was found of each."""
    return [
        (one.dimensions, item, found)
        for one in designs
        for item in one.modules
        if (kind is None or item.kind == kind.name) and (found := item.found(name)) is not None
    ]


def _at(measures: Sequence[str], dimensions: Dimensions) -> tuple[float, ...]:
    return tuple(MEASURES[one](dimensions) for one in measures)


def _slope(kind: Kind, name: str, designs: Sequence[Synthesised]) -> np.ndarray:
    """Return what is found of a kind as shares of 1 and of what it is before it is mapped.

    It is proportional where one size alone was synthesised; where none was, as in all kinds.
    """
    taught = _synthesised(designs, name, kind)
    some = taught or [one for one in _synthesised(designs, name) if one[1].before(name)]
    before = np.array([item.before(name) for _, item, _ in some], np.float64)
    found = np.array([found for *_, found in some], np.float64)
    if not taught or np.ptp(before) < _APART * before.max():
        return np.array([0.0, found.sum() / max(before.sum(), 1e-9)])
    scale = np.maximum(found, _LEAST * max(found.max(), 1e-9))
    wide = np.stack([np.ones_like(before), before], axis=1)
    return nnls(wide / scale[:, None], found / scale)[0]
