"""All points of a sweep, in parallel processes."""

import multiprocessing
import os
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor, as_completed

from alula.explore.point import evaluate
from alula.explore.row import Row
from alula.explore.space import Sweep

__all__ = ["run_sweep"]

Progress = Callable[[str, int, int], None]


def run_sweep(
    sweep: Sweep,
    *,
    processes: int | None = None,
    progress: Progress = lambda stage, done, total: None,
) -> list[Row]:
    """Return a row for each point, in the order of the points.

    Args:
        sweep: what to run.
        processes: points at once; as many as there are processors if not given.
        progress: told of each point that is done.
    """
    points = sweep.points
    count = min(processes or os.cpu_count() or 1, len(points))
    rows: dict[int, Row] = {}
    progress("points", 0, len(points))
    # A fresh interpreter each: threads of numba and torch do not survive a fork.
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(count, mp_context=context) as pool:
        futures = {pool.submit(evaluate, point): number for number, point in enumerate(points)}
        try:
            for future in as_completed(futures):
                number = futures[future]
                try:
                    rows[number] = future.result()
                except Exception as error:  # its process ended: out of memory, for example
                    lost = f"its process ended: {error}"
                    rows[number] = Row(points[number].values, reason=lost)
                progress("points", len(rows), len(points))
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise
    return [rows[number] for number in range(len(points))]
