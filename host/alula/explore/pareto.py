"""Points that no other point beats, and how much of the space of objectives they cover."""

import numpy as np

_BLOCK = 256
"""Points that are compared with all others at once."""


def front(values: np.ndarray) -> np.ndarray:
    """Return which points are on the Pareto front, bool [points].

    A point is on it if no other is at least as good in all objectives and better in one. Points
    that are equal are on it together.

    Args:
        values: float [points, objectives], less is better. A NaN makes a point none.
    """
    kept = np.zeros(len(values), bool)
    numbers = np.flatnonzero(~np.isnan(values.sum(axis=1)))
    order = numbers[np.lexsort(values[numbers].T[::-1])]
    best = np.empty((0, values.shape[1]))
    for start in range(0, len(order), _BLOCK):
        block = order[start : start + _BLOCK]
        block = block[~beaten(values[block], best)]
        # In this order a point is beaten by earlier ones only.
        block = block[~beaten(values[block], values[block])]
        kept[block] = True
        best = np.concatenate([best, values[block]])
    return kept


def beaten(values: np.ndarray, by: np.ndarray) -> np.ndarray:
    """Return which points one of `by` beats: as good in all objectives and better in one."""
    found = np.zeros(len(values), bool)
    for first in range(0, len(values), _BLOCK):
        own = values[first : first + _BLOCK, None]
        for start in range(0, len(by), _BLOCK):
            others = by[None, start : start + _BLOCK]
            better = np.all(others <= own, axis=2) & np.any(others < own, axis=2)
            found[first : first + _BLOCK] |= np.any(better, axis=1)
    return found


def layers(values: np.ndarray, count: int) -> np.ndarray:
    """Return numbers of at least `count` points: the front, then that of the rest, and so on."""
    found: list[np.ndarray] = []
    left = np.flatnonzero(~np.isnan(values.sum(axis=1)))
    while left.size and sum(map(len, found)) < count:
        best = front(values[left])
        found.append(left[best])
        left = left[~best]
    return np.concatenate(found) if found else np.empty(0, np.int64)


def hypervolume(values: np.ndarray, low: np.ndarray, high: np.ndarray) -> float:
    """Return the share of a box of objectives that points beat.

    Args:
        values: float [points, objectives], less is better.
        low: the box's best corner.
        high: its worst corner.
    """
    from alula.libraries import needed

    size = np.where(high > low, high - low, 1.0)
    scaled = (values - low) / size
    scaled = scaled[np.all(scaled < 1, axis=1)]
    if not len(scaled):
        return 0.0
    indicator = needed("pymoo", "pymoo.indicators.hv").HV(ref_point=np.ones(values.shape[1]))
    return float(indicator(scaled[front(scaled)]))
