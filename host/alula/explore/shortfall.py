"""Why a point cannot be: what it needs, what there is, and what would fix it."""

import re
from dataclasses import dataclass
from typing import Any

from alula.design import Design, DesignError
from alula.explore.buffers import NoBuffers
from alula.explore.remedies import LESS
from alula.mapper import DoesNotFit, FitItem

_REMEDIES = {
    "mpe": f"{LESS['dsp']}, or a larger part",
    "buffers": "smaller buffers, or a larger part",
}
"""Of rules that several fields break together."""
_HOLDS = "a smaller prefill_chunk, a shorter context, or a larger part"
_LIMIT = re.compile(r"^(?:a design of |memories of )?at (least|most) [\d.]")
_NUMBER = re.compile(r"(\d+(?:\.\d+)?) ?(BRAM36|UltraRAM)?")


@dataclass(frozen=True)
class Shortfall:
    """A demand beyond its bound.

    Attributes:
        what: the resource, the field or the objective.
        demand: what the point needs or has, as a number where there is one.
        bound: what there is, or must be.
        gap: what lies between them; None where that is no number.
        unit: what they are counted in.
        remedy: what would fix it, as a change of the point.
    """

    what: str
    demand: float | str
    bound: float | str
    gap: float | None
    unit: str
    remedy: str

    @property
    def line(self) -> str:
        """One line for people."""
        demand, bound = (
            f"{value:,.6g}" if isinstance(value, float | int) else value
            for value in (self.demand, self.bound)
        )
        unit = f" {self.unit}" if self.unit else ""
        gap = f", a gap of {self.gap:,.6g}" if self.gap is not None else ""
        return f"{self.what}: {demand}{unit} against {bound}{unit}{gap}; {self.remedy}"


def of_design(error: DesignError) -> Shortfall:
    """Return what a design that cannot be falls short in: of several numbers the worst."""
    field = error.place.rpartition(": ")[2]
    if isinstance(error, NoBuffers):
        return Shortfall(field, error.actual, error.expected, None, "", _HOLDS)
    remedy = _REMEDIES.get(field, f"{field} must be {error.expected}")
    match = _LIMIT.match(error.expected)
    bounds, demands = (_NUMBER.findall(text) for text in (error.expected, error.actual))
    if match is None or not demands:
        return Shortfall(field, error.actual, error.expected, None, "", remedy)
    sign = 1 if match[1] == "most" else -1
    pairs = [
        (float(demand), float(bound), unit)
        for (demand, unit), (bound, _) in zip(demands, bounds, strict=False)
    ]
    demand, bound, unit = max(pairs, key=lambda pair: sign * (pair[0] - pair[1]))
    return Shortfall(field, demand, bound, sign * (demand - bound), unit, remedy)


def of_fit(error: DoesNotFit, design: Design) -> Shortfall:
    """Return what a design that a model does not fit falls short in most."""
    short = [item for item in error.report.items if not item.fits]
    worst = max(short, key=lambda item: item.demand / max(1, item.bound))
    changes = ", ".join(filter(None, (_change(item, design) for item in short)))
    remedy = changes or "a shorter context, or another design"
    gap = float(worst.demand - worst.bound)
    what = f"{worst.resource} ({worst.phase})"
    return Shortfall(what, float(worst.demand), float(worst.bound), gap, worst.unit, remedy)


def _change(item: FitItem, design: Design) -> str:
    """The least value of the field that an item's bound follows from."""
    if not item.key:
        return ""
    value: Any = design
    for name in item.key.split("."):
        value = getattr(value, name)
    if isinstance(value, bool):
        return f"{item.key} true"
    return f"{item.key} at least {max(value + 1, -(-item.demand * value // max(1, item.bound)))}"
