"""A sweep from its file to its rows: bounds, search, checks, each point kept as it comes."""

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path

import numpy as np

from alula.design.error import DesignError
from alula.explore import evaluation
from alula.explore.checks import check_points, need_tools, simulated_points, widened
from alula.explore.evaluation import Bounded
from alula.explore.idle import check_axes
from alula.explore.objectives import signed
from alula.explore.pareto import front
from alula.explore.pools import Pool, opened
from alula.explore.row import Row
from alula.explore.search import All, ByBounds, Generations, Samples, Searcher
from alula.explore.space import DesignSpace
from alula.explore.store import RowStore, restored
from alula.explore.sweep_file import Sweep, load_sweep
from alula.explore.workers import Lost
from alula.progress import Progress, silent

_BOUNDED_AT_ONCE = 256
_ASKED_AT_ONCE = 8
"""Points of an item that a worker takes."""


@dataclass(frozen=True)
class Found:
    """What a sweep found.

    Attributes:
        space: the space that it is of.
        rows: of the points that were asked about or cannot be, by number.
        best: numbers of the points on the Pareto front.
        exact: whether it is proved that no other point of the space is on the front.
        asked: points that the cycle model was asked about, those that a store had included.
        kept: points that the store had.
        left_out: points whose bound is beaten, so that nothing else was asked about them.
    """

    space: DesignSpace
    rows: Mapping[int, Row]
    best: Sequence[int]
    exact: bool
    asked: int
    kept: int
    left_out: int

    @property
    def front(self) -> list[Row]:
        """The rows on the Pareto front, the best in the first objective first."""
        return [self.rows[number] for number in self.best]

    @cached_property
    def front_numbers(self) -> frozenset[int]:
        """The numbers of `best`."""
        return frozenset(self.best)

    @property
    def failed(self) -> list[Row]:
        """The rows of what went wrong."""
        return [row for row in self.rows.values() if row.failed is not None]

    @property
    def impossible(self) -> list[Row]:
        """The rows of points that cannot be."""
        return [row for row in self.rows.values() if row.shortfall is not None]


def sweep(
    source: str | Path | Sweep,
    *,
    model: str | None = None,
    points: int | None = None,
    store: Path | None = None,
    processes: int | None = None,
    scheduler: str | None = None,
    progress: Progress = silent,
) -> Found:
    """Search a space of designs and models.

    Args:
        source: a sweep, its file, or the name of one that ships with Alula.
        model: another model than the sweep names.
        points: points that the cycle model is asked about at most, instead of the file's.
        store: the file that keeps every point; none is written if None.
        processes: points at once; as many as there are processors if None, in this process if 0.
        scheduler: address of a Dask scheduler whose workers are used instead.
        progress: told how far it is.

    Raises:
        DesignError: the sweep cannot be, or an axis cannot matter.
        RunError, FrontendError: a model cannot be found or read.
        MissingLibrary, PoolError, StoreError: what the sweep needs is not there.
        SynthError, ToolchainError: a tool for checks is not there.
        OSError: a row cannot be kept.
    """
    asked = source if isinstance(source, Sweep) else load_sweep(source)
    asked = _changed(asked, model, points)
    need_tools(asked)
    space = DesignSpace.of(asked, progress)
    check_axes(space, progress)
    count = (os.cpu_count() or 1) if processes is None else processes
    with opened(count, scheduler) as pool:
        if store is None:
            return _Run(space, pool, None, progress).found()
        with RowStore.opened(store) as kept:
            return _Run(space, pool, kept, progress).found()


def _changed(asked: Sweep, model: str | None, points: int | None) -> Sweep:
    """A sweep with another model, or another number of points.

    Raises:
        DesignError: the model is an axis of the sweep.
    """
    changes: dict[str, object] = {}
    if points is not None:
        changes["points"] = points
    if model is not None:
        if "model" in asked.axes:
            raise DesignError("one of the sweep's axis of models", model, f"{asked.name}: model")
        changes["model"] = model
    return asked.model_copy(update=changes)


class _Run:
    """One sweep at work."""

    def __init__(
        self, space: DesignSpace, pool: Pool, store: RowStore | None, progress: Progress
    ) -> None:
        self._space, self._pool = space, pool
        self._store, self._progress = store, progress
        self._rows: dict[int, Row] = {}
        self._asked = self._kept = 0

    def found(self) -> Found:
        """Return what the sweep finds."""
        sweep = self._space.sweep
        searcher, candidates = self._searcher()
        while asked := searcher.ask():
            searcher.tell(self._answers(asked, searcher.left))
        if sweep.check.simulate or sweep.check.synthesise:
            self._rows |= check_points(
                self._space, self._rows, self._best(), self._pool, self._store, self._progress
            )
            self._rows |= widened(self._rows)
        exact = isinstance(searcher, All) and searcher.left == 0
        exact = exact and self._asked == candidates
        if isinstance(searcher, ByBounds):
            exact = searcher.exact
        left_out = candidates - self._asked if exact else 0
        return Found(
            self._space, self._rows, self._best(), exact, self._asked, self._kept, left_out
        )

    def _searcher(self) -> tuple[Searcher, int]:
        """The sweep's search, and the number of points that it chooses from."""
        sweep, space = self._space.sweep, self._space
        if sweep.way == "generations":
            return Generations(space, most=sweep.points or 0, seed=sweep.seed), space.count
        if sweep.way == "samples":
            many = max(4, 2 * self._pool.count)
            most = min(sweep.points or 0, space.count)
            return Samples(space, most=most, seed=sweep.seed, at_once=many), space.count
        bounded = self._bounded()
        numbers = np.array([one.number for one in bounded], np.int64)
        if sweep.way == "all":
            return All(numbers.tolist(), sweep.points), len(numbers)
        least = np.array([one.least for one in bounded]).reshape(-1, len(sweep.objectives))
        searcher = ByBounds(
            numbers,
            space.places(numbers),
            least,
            sweep.objectives,
            most=sweep.points,
            seed=sweep.seed,
        )
        return searcher, len(numbers)

    def _bounded(self) -> list[Bounded]:
        """The points that can be, with their bounds; the others become rows."""
        space = self._space
        items = [
            range(start, min(start + _BOUNDED_AT_ONCE, space.count))
            for start in range(0, space.count, _BOUNDED_AT_ONCE)
        ]
        found: dict[int, list[Bounded]] = {}
        for place, result in self._pool.map(partial(evaluation.bounds, space), items):
            if isinstance(result, Lost):
                for number in items[place]:
                    self._rows[number] = Row(space.values(number), failed=result.reason)
            else:
                found[place] = result
            self._progress("bounds", sum(map(len, found.values())), space.count)
        bounded = [one for place in sorted(found) for one in found[place]]
        self._rows |= {one.number: one.row for one in bounded if one.row is not None}
        return [one for one in bounded if one.row is None]

    def _answers(self, numbers: Sequence[int], left: int) -> dict[int, Row]:
        """The rows of points, from the store, the cycle model or RTL; each is kept as it comes."""
        space = self._space
        keys, values = {}, {number: space.values(number) for number in numbers}
        if self._store is not None:
            keys = {number: _key(space, number) for number in numbers}
        rows = restored(keys, values, self._store)
        self._kept += len(rows)
        self._asked += len(numbers)
        waiting = [number for number in numbers if number not in rows]
        items = [waiting[at : at + _ASKED_AT_ONCE] for at in range(0, len(waiting), _ASKED_AT_ONCE)]
        total = self._asked + left
        self._progress("points", total - left - len(waiting), total)
        for some, found in self._evaluated(items):
            if self._store is not None:
                self._store.add(
                    (keys[number], row) for number, row in zip(some, found, strict=True)
                )
            rows |= dict(zip(some, found, strict=True))
            self._progress("points", total - left - len(numbers) + len(rows), total)
        if space.sweep.cycles == "simulated":
            rows |= simulated_points(space, rows, self._pool, self._store, self._progress)
        self._rows |= rows
        return rows

    def _evaluated(
        self, items: Sequence[Sequence[int]]
    ) -> Iterator[tuple[Sequence[int], list[Row]]]:
        """Yield the rows of points, some at a time. Those of a lost item are tried one by one."""
        space, alone = self._space, []
        for place, result in self._pool.map(partial(evaluation.evaluate, space), items):
            if not isinstance(result, Lost):
                yield items[place], result
            elif len(items[place]) > 1:
                alone += [[number] for number in items[place]]
            else:
                values = space.values(items[place][0])
                yield items[place], [Row(values, failed=result.reason)]
        if alone:
            yield from self._evaluated(alone)

    def _best(self) -> list[int]:
        """The numbers of the points on the front, the best in the first objective first."""
        names = self._space.sweep.objectives
        numbers = [number for number, row in sorted(self._rows.items()) if row.found]
        if not numbers:
            return []
        values = signed([self._rows[number].objectives(names) for number in numbers], names)
        places = np.flatnonzero(front(values))
        order = places[np.argsort(values[places, 0], kind="stable")]
        return [numbers[place] for place in order]


def _key(space: DesignSpace, number: int) -> str:
    """The key of a point's answer; of one that makes no design, one that no other has."""
    values = space.values(number)
    try:
        return evaluation.key(space.question(values), space.sweep)
    except DesignError:
        return evaluation.unmade(space, values)
