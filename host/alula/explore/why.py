"""Why no point of a sweep can be, in a line."""

from alula.design import DesignError
from alula.explore.buffers import size_buffers
from alula.explore.report.tables import nearest, shown
from alula.explore.row import Row
from alula.explore.run import Found


def why(found: Found) -> str:
    """Return why nothing was found: the point that misses least, its gap and what would fix it."""
    sweep = found.space.sweep
    row = nearest(found.impossible)
    if row is not None:
        point = ", ".join(f"{axis} {shown(value)}" for axis, value in row.values.items())
        start = f"no point of {sweep.name} can be; the nearest of {len(found.rows):,}, {point}"
        return f"{start}: {row.reason}{_of_buffers(found, row)}"
    if found.failed:
        return f"all points of {sweep.name} failed: {found.failed[0].failed}"
    if found.impossible:
        return f"no point of {sweep.name} can be: {found.impossible[0].reason}"
    unknown = (
        name
        for name in sweep.objectives
        if all(getattr(row, name) is None for row in found.rows.values())
    )
    return f"{', '.join(unknown)} must be known of a point of {sweep.name}, and is of none"


def _of_buffers(found: Found, row: Row) -> str:
    """Whether other buffers would do, where a point's are too small."""
    assert row.shortfall is not None
    if "buffers." not in row.shortfall.remedy:
        return ""
    try:
        question = found.space.question(row.values)
    except DesignError:
        return ""
    sizing = size_buffers(question.design, question.model)
    return f"; {sizing.line}" if sizing.fields is None else f" ({sizing.line} would do)"
