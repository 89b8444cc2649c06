"""What a plan predicted beside what was observed: each segment in each phase."""

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

from alula.runtime.errors import RunError
from alula.runtime.planning.plan import Plan
from alula.runtime.planning.plan_file import repriced
from alula.runtime.spans import Span, segment_name, segment_units
from alula.runtime.split import PHASES, Phase

if TYPE_CHECKING:
    from alula.runtime.session import Session

_LINK = "keys and values"


@dataclass(frozen=True)
class ComparisonRow:
    """A segment in a phase.

    Attributes:
        phase: which.
        units: the segment.
        target: what ran it.
        predicted_s: seconds, all steps.
        observed_s: the same as it was; None if nothing was observed that compares.
        clock: what was observed: wall, or simulated or modelled cycles at the declared clock.
    """

    phase: Phase
    units: str
    target: str
    predicted_s: float
    observed_s: float | None
    clock: str

    @property
    def error(self) -> float | None:
        """The prediction's error as a share of what was observed."""
        return self.predicted_s / self.observed_s - 1 if self.observed_s else None


@dataclass(frozen=True)
class PlanComparison:
    """A plan's predictions for the lengths of an answer, and the answer.

    Attributes:
        prompt: tokens of the prompt that were run.
        new: tokens that were decoded.
        rows: segments in order, then what crossed.
    """

    prompt: int
    new: int
    rows: tuple[ComparisonRow, ...]

    def as_dict(self) -> dict[str, object]:
        """Plain data."""
        rows = [asdict(row) | {"error": row.error} for row in self.rows]
        return {"prompt": self.prompt, "new": self.new, "rows": rows}

    def __str__(self) -> str:
        """Return it as a table."""
        head = ("phase", "units", "target", "predicted s", "observed s", "error", "clock")
        lines = [head, *map(_cells, self.rows)]
        widths = [max(len(line[column]) for line in lines) for column in range(len(head))]
        return "\n".join(
            "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip()
            for line in lines
        )


def compare(session: "Session", plan: Plan) -> PlanComparison:
    """Return what a plan predicts for the last answer's lengths beside what was observed.

    Raises:
        RunError: there was no answer yet, or the plan is of another map.
    """
    answers = [span for span in session.spans if span.kind == "answer"]
    if not answers:
        raise RunError("there must be an answer to compare, not none yet")
    if session.info.map != plan.map:
        raise RunError(f"the plan must be of the map {session.info.map}, not of {plan.map}")
    last = answers[-1]
    spans = [
        one
        for one in session.spans
        if one.kind != "answer" and last.start <= one.start and one.end <= last.end
    ]
    prompt = last.tokens - last.position
    new = len({one.position for one in spans if one.phase == "decode" and one.kind == "compute"})
    asked = repriced(plan, prompt=last.tokens, new=max(1, new))
    rows = [*_segments(session, asked, spans, new), *_crossing(asked, spans)]
    return PlanComparison(prompt=prompt, new=new, rows=tuple(rows))


def _segments(
    session: "Session", plan: Plan, spans: list[Span], new: int
) -> Iterator[ComparisonRow]:
    for phase in PHASES:
        if phase == "decode" and not new:
            continue
        found: dict[str, list[Span]] = {}
        for span in spans:
            if span.phase == phase and span.kind == "compute":
                assert span.segment is not None
                found.setdefault(segment_name(span.segment), []).append(span)
        placed = {one.unit: one.predicted_s for one in plan.in_phase(phase)}
        for name, runs in found.items():
            segment, target = runs[0].segment, str(runs[0].target)
            assert segment is not None
            observed, clock = _observed(session, target, phase, runs)
            predicted = sum(placed[unit] for unit in segment_units(segment))
            yield ComparisonRow(phase, name, target, predicted, observed, clock)


def _observed(
    session: "Session", target: str, phase: Phase, spans: list[Span]
) -> tuple[float | None, str]:
    """Return the seconds of a segment's runs: of the accelerator those of its cycles."""
    if target != "accel":
        return sum(span.seconds for span in spans), "wall"
    design, positions = session.design, {(span.position, span.tokens) for span in spans}
    runs = [
        run
        for run in session.runs
        if run.phase == phase and (run.position, run.tokens) in positions
    ]
    cycles = [run.counters.get("cycles") for run in runs]
    if design is None or not runs or None in cycles or len(runs) != len(spans):
        return None, "none: the machine model has no clock"
    return sum(one or 0 for one in cycles) / design.clock_hz, "simulated cycles"


def _crossing(plan: Plan, spans: list[Span]) -> Iterator[ComparisonRow]:
    moved = [span for span in spans if span.kind == _LINK]
    if moved or plan.price.moved:
        seconds = sum(span.seconds for span in moved)
        yield ComparisonRow("decode", _LINK, "link", plan.price.moved, seconds or None, "wall")


def _cells(row: ComparisonRow) -> tuple[str, ...]:
    observed = "-" if row.observed_s is None else f"{row.observed_s:.4g}"
    error = "-" if row.error is None else f"{row.error:+.1%}"
    return row.phase, row.units, row.target, f"{row.predicted_s:.4g}", observed, error, row.clock
