"""All points of a sweep, in parallel processes."""

import os

from alula.explore.point import evaluate
from alula.explore.row import Row
from alula.explore.space import Sweep
from alula.explore.store import Store
from alula.explore.workers import Lost, in_processes
from alula.progress import Progress, silent


def run_sweep(
    sweep: Sweep,
    *,
    processes: int | None = None,
    store: Store | None = None,
    progress: Progress = silent,
) -> list[Row]:
    """Return a row for each point, in the order of the points.

    Args:
        sweep: what to run.
        processes: points at once; as many as there are processors if not given.
        store: has the rows of an earlier start, which are taken, and gets each as it comes.
        progress: called for each point that is done.

    Raises:
        OSError: a row cannot be stored.
    """
    points = sweep.points
    rows: dict[int, Row] = {}
    for number, point in enumerate(points):
        if store is not None and (found := store.find(point)):
            rows[number] = found
    waiting = [number for number in range(len(points)) if number not in rows]
    count = min(processes or os.cpu_count() or 1, len(waiting))
    progress("points", len(rows), len(points))
    for index, result in in_processes(evaluate, [points[number] for number in waiting], count):
        number = waiting[index]
        point = points[number]
        row = Row(point.values, reason=result.reason) if isinstance(result, Lost) else result
        rows[number] = row
        if store is not None:
            store.add(point, row)
        progress("points", len(rows), len(points))
    return [rows[number] for number in range(len(points))]
