"""What a point must keep: what its part has, and the limits of its sweep."""

from alula.design import Design
from alula.explore.objectives import OBJECTIVES, RESOURCES
from alula.explore.remedies import LESS, remedy_of
from alula.explore.row import Row
from alula.explore.shortfall import Shortfall
from alula.explore.sweep_file import Sweep


def beyond(row: Row, design: Design, part_share: float) -> Shortfall | None:
    """Return the part's resource that a design exceeds most; None: it exceeds none."""
    found = []
    for name in RESOURCES:
        demand, bound = getattr(row, name), getattr(design.part, name) * part_share
        if demand > bound:
            one = OBJECTIVES[name]
            larger = f"a part with at least {demand / part_share:,.0f} {one.title}"
            remedy = f"{LESS[name]}, or {larger}"
            short = Shortfall(one.title, demand, bound, demand - bound, "", remedy)
            found.append((demand / max(bound, 1.0), short))
    return max(found, key=lambda item: item[0])[1] if found else None


def limited(row: Row, sweep: Sweep) -> Shortfall | None:
    """Return the limit of a sweep that a row's numbers miss most; None: they keep all."""
    found: list[tuple[float, Shortfall]] = []
    for name, limit in sweep.constraints.items():
        value, one = getattr(row, name), OBJECTIVES[name]
        if value is None:
            missing = Shortfall(one.title, "unknown", "known", None, "", f"no limit of {name}")
            found.append((float("inf"), missing))
            continue
        for most, wanted in ((False, limit.at_least), (True, limit.at_most)):
            gap = 0.0 if wanted is None else (value - wanted) * (1 if most else -1)
            if wanted is not None and gap > 0:
                remedy = remedy_of(name, row.accounts)
                short = Shortfall(one.title, value, wanted, gap, one.unit, remedy)
                found.append((gap / max(abs(wanted), 1e-30), short))
    return max(found, key=lambda item: item[0])[1] if found else None
