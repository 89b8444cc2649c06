"""Times from a table of some lengths, interpolated in between."""

from bisect import bisect_left
from collections.abc import Sequence

from alula.runtime.planning.devices import Profile
from alula.runtime.planning.errors import PlanError
from alula.runtime.planning.estimates import Estimate, Origin, Request
from alula.runtime.planning.work import UnitWork
from alula.runtime.split import Phase

Row = tuple[float, float]
"""A length and its seconds."""


class ProfileTable:
    """An estimator that looks times up.

    A time of the whole model is spread over its units: in prefill by their products, in decode by
    the weights that they read.

    Args:
        request: what it is made for.
        profile: the times.
        place: where they stand, for messages.
    """

    def __init__(self, request: Request, profile: Profile, place: str) -> None:
        self._place = place
        if profile.model != request.model.name:
            raise PlanError(
                f"the model must be {profile.model}, whose times the profile has,"
                f" not {request.model.name} ({self._place})"
            )
        self._model = request.model
        self._source: Origin = profile.source
        self._extrapolate = request.extrapolate
        self._rows: dict[tuple[Phase, str], list[Row]] = {}
        for point in sorted(profile.points, key=lambda one: one.length):
            rows = self._rows.setdefault((point.phase, point.unit), [])
            if rows and rows[-1][0] == point.length:
                raise PlanError(
                    f"a length must be given once, not {point.length:g} twice ({self._place})"
                )
            rows.append((point.length, point.seconds))

    def estimate(self, unit: UnitWork, phase: Phase, tokens: int, held: float) -> Estimate:
        """Return the time of one step; see `Estimator.estimate`."""
        length = tokens if phase == "prefill" else held
        rows = self._rows.get((phase, unit.kind))
        share = 1.0
        if rows is None:
            rows = self._rows.get((phase, "model"))
            share = self._share(unit, phase, tokens, held)
        if rows is None:
            raise PlanError(
                f"a profile must have times of {phase} of {unit.kind} or model, not none"
                f" ({self._place})"
            )
        seconds, note = self._at(rows, phase, length)
        return Estimate(share * seconds, "unknown", self._source, note)

    def _at(self, rows: Sequence[Row], phase: Phase, length: float) -> tuple[float, str]:
        """Return the seconds at a length, and how they follow from the table if not directly."""
        lengths = [row[0] for row in rows]
        place = bisect_left(lengths, length)
        if place < len(rows) and lengths[place] == length:
            return rows[place][1], ""
        if 0 < place < len(rows):
            seconds = straight_line(rows[place - 1], rows[place], length)
            return seconds, (
                f"{phase} at {length:g} tokens interpolated between {lengths[place - 1]:g} and"
                f" {lengths[place]:g}"
            )
        known = f"{lengths[0]:g} to {lengths[-1]:g}" if len(rows) > 1 else f"{lengths[0]:g}"
        if not self._extrapolate or len(rows) < 2:
            advice = "; --extrapolate goes on with a straight line" if len(rows) > 1 else ""
            raise PlanError(
                f"{phase} must be of {known} tokens, which the profile has, not {length:g}"
                f"{advice} ({self._place})"
            )
        ends = rows[:2] if place == 0 else rows[-2:]
        seconds = straight_line(ends[0], ends[1], length)
        if seconds <= 0:
            raise PlanError(
                f"extrapolation of {phase} must give a time above 0, not {seconds:g} s at"
                f" {length:g} tokens ({self._place})"
            )
        return seconds, f"{phase} at {length:g} tokens extrapolated from {known}"

    def _share(self, unit: UnitWork, phase: Phase, tokens: int, held: float) -> float:
        """Return a unit's part of the whole model's time."""

        def weight(one: UnitWork) -> float:
            if phase == "prefill":
                return one.products(phase, tokens, held)
            return one.read + one.gathered

        return weight(unit) / sum(map(weight, self._model.units))


def straight_line(one: Row, other: Row, length: float) -> float:
    """Return the seconds at a length on the line through two rows of a table."""
    (left, low), (right, high) = one, other
    return low + (high - low) * (length - left) / (right - left)
