"""Whether a model fits a design: demand and bound of each resource, and what would fix it."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field

Lever = Mapping[str, int | str]
"""Changes that together make a model fit, by what is changed.

That is ``--context``, ``--design`` or a field of the design such as ``buffers.vector_kib``.
"""


@dataclass(frozen=True)
class FitItem:
    """One resource: what the model needs of it, and what the design has.

    Args:
        resource: What it is.
        phase: ``"prefill"``, ``"decode"`` or ``"both"``.
        demand, bound: What the model needs, what there is, in `unit`.
        unit: What both are counted in.
        key: The design's field that the bound follows from; "" if no field changes it.
    """

    resource: str
    phase: str
    demand: int
    bound: int
    unit: str
    key: str = ""

    @property
    def fits(self) -> bool:
        """Demand within the bound."""
        return self.demand <= self.bound


@dataclass(frozen=True)
class FitReport:
    """Demand against bound for everything that a design has a bound for.

    Attributes:
        design: Its name.
        context: Positions.
        chunk: Tokens of a prefill chunk, as the compiler chose it.
        design_chunk: Tokens of the largest prefill chunk, the design's.
        items: One for each resource.
        freed: Bytes of KV cache that blocks which no query reads again do not take; negative
            where a context is so short that holding the last blocks twice takes more.
        levers: Where the model does not fit: each alone makes it fit, which was tried.
    """

    design: str
    context: int
    chunk: int
    design_chunk: int
    items: Sequence[FitItem]
    levers: Sequence[Lever] = field(default=())
    freed: int = 0

    @property
    def fits(self) -> bool:
        """Everything fits."""
        return all(item.fits for item in self.items)

    def as_dict(self) -> dict[str, object]:
        """Plain data."""
        items = [asdict(item) | {"fits": item.fits} for item in self.items]
        levers = [dict(lever) for lever in self.levers]
        return asdict(self) | {"fits": self.fits, "items": items, "levers": levers}

    @classmethod
    def from_dict(cls, data: Mapping[str, object]) -> "FitReport":
        """The inverse of `as_dict`."""
        values = {name: value for name, value in data.items() if name != "fits"}
        items = [
            FitItem(**{name: value for name, value in item.items() if name != "fits"})
            for item in values.pop("items")  # type: ignore[attr-defined]
        ]
        return cls(items=items, **values)  # type: ignore[arg-type]

    def table(self) -> str:
        """Text, a line a resource, then the chunk and what would fix it."""
        rows = [("resource", "phase", "demand", "bound", "used", "")]
        for item in self.items:
            used = f"{100 * item.demand / item.bound:.1f}%" if item.bound else "-"
            demand, bound = (
                f"{value:,} {item.unit}".rstrip() for value in (item.demand, item.bound)
            )
            note = "" if item.fits else "does not fit"
            rows.append((item.resource, item.phase, demand, bound, used, note))
        widths = [max(len(row[column]) for row in rows) for column in range(6)]
        lines = [
            "  ".join(
                cell.rjust(width) if 2 <= column <= 4 else cell.ljust(width)
                for column, (cell, width) in enumerate(zip(row, widths, strict=True))
            ).rstrip()
            for row in rows
        ]
        return "\n".join([*lines, "", *self._notes()])

    def _notes(self) -> list[str]:
        tokens = "1 token" if self.chunk == 1 else f"{self.chunk} tokens"
        if not self.fits:
            return [f"With a prefill chunk of {tokens}.", f"The model {self.advice}."]
        notes = [f"A prefill chunk is {tokens}."]
        if self.chunk != self.design_chunk:
            notes = [f"A prefill chunk is {tokens}: the design's {self.design_chunk} do not fit."]
        if self.freed:
            more = "less" if self.freed > 0 else "more"
            notes.append(
                f"The KV cache takes {abs(self.freed):,} bytes {more} than dense attention's."
            )
        return notes

    @property
    def advice(self) -> str:
        """What makes the model fit, in words."""
        if not self.levers:
            return "does not fit with any context, larger buffers of this part or shipped design"
        return "fits with " + ", or ".join(
            " and ".join(f"{name} {value}" for name, value in lever.items())
            for lever in self.levers
        )


class DoesNotFit(ValueError):
    """The model does not fit the design; `report` says where."""

    def __init__(self, report: FitReport) -> None:
        self.report = report
        worst = max(
            (item for item in report.items if not item.fits),
            key=lambda item: item.demand / max(1, item.bound),
        )
        unit = f" {worst.unit}".rstrip()
        super().__init__(
            f"{worst.resource} ({worst.phase}) must be at most {worst.bound:,}{unit} on "
            f"{report.design}, not {worst.demand:,}; the model {report.advice}"
        )
