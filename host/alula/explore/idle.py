"""Axes whose change cannot matter are told before a sweep, not after."""

import numpy as np

from alula.design.error import DesignError, listed
from alula.explore.evaluation import evaluated
from alula.explore.objectives import RESOURCES
from alula.explore.row import Row
from alula.explore.space import DesignSpace
from alula.progress import Progress, silent

_VALUES = 8
"""Values of an axis that are tried, at most."""
_PLACES, _MOST_PLACES = 64, 512
"""Places of the space at which an axis is varied before it counts as idle: those where a point can
be, and all of them at most."""


def check_axes(space: DesignSpace, progress: Progress = silent) -> None:
    """See that each axis of several values changes what is asked for, or what fits.

    Raises:
        DesignError: one changed nothing in all places that were tried.
    """
    random = np.random.default_rng(space.sweep.seed)
    count = min(space.count, _MOST_PLACES)
    tried = space.places(random.choice(space.count, size=count, replace=False))
    for axis, name in enumerate(space.names):
        progress("axes", axis, len(space.names))
        if space.sizes[axis] > 1 and _idle(space, tried, axis):
            asked = listed(
                [*dict.fromkeys([*space.sweep.objectives, *space.sweep.constraints])], "and"
            )
            wanted = f"left out, as none of its values changes {asked} or what fits"
            raise DesignError(wanted, "varied: it cannot matter", f"axes.{name}")


def _idle(space: DesignSpace, tried: np.ndarray, axis: int) -> bool:
    """Whether an axis changes nothing at any place, at one of which at least a point can be."""
    found = 0
    for place in tried:
        matters = _matters(space, place, axis)
        if matters:
            return False
        found += matters is False
        if found == _PLACES:
            break
    return found > 0


def _matters(space: DesignSpace, places: np.ndarray, axis: int) -> bool | None:
    """Whether values of an axis differ in what comes of them, the other axes as they are.

    None: no point can be there, whatever the value, which says nothing.
    """
    size = space.sizes[axis]
    chosen = np.unique(np.linspace(0, size - 1, min(size, _VALUES)).round().astype(np.int64))
    rows: list[Row] = []
    for value in chosen:
        own = places.copy()
        own[axis] = value
        rows.append(evaluated(space, space.values(int(space.number(own[None])[0]))))
        if _outcome(space, rows[-1]) != _outcome(space, rows[0]):
            return True
    return False if any(row.found for row in rows) else None


def _outcome(space: DesignSpace, row: Row) -> tuple[object, ...]:
    """Everything of a point that a search can see."""
    names = dict.fromkeys([*space.sweep.objectives, *space.sweep.constraints, *RESOURCES])
    return (*(getattr(row, name) for name in names), row.shortfall, row.failed)
