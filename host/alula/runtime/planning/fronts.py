"""The Pareto fronts of groups of rows, compiled."""

import numba
import numpy as np
from numpy.typing import NDArray

NEAR = 1e-12
"""Of a number, what its rounding may be: sums of the same numbers in another order are equal."""


def undominated(group: NDArray[np.int64], rows: NDArray[np.float64]) -> NDArray[np.int64]:
    """Return which rows are not at least another of their group in every column.

    Args:
        group: [rows], the group of each.
        rows: [rows, columns], not negative; less is better, and of equal rows one is kept.
    """
    order = np.lexsort((*rows.T[::-1], group))
    return order[_keeps(group[order], rows[order])]


@numba.njit(cache=True, nogil=True)
def _keeps(group, rows):
    """Whether each row is kept; rows are sorted by group, then by their columns."""
    count, columns = rows.shape
    kept = np.zeros(count, np.bool_)
    front = np.empty(count, np.int64)
    size = 0
    for index in range(count):
        if index == 0 or group[index] != group[index - 1]:
            size = 0
        dominated = False
        for place in range(size - 1, -1, -1):
            dominated = True
            for column in range(1, columns):
                slack = NEAR * abs(rows[index, column])
                if rows[front[place], column] > rows[index, column] + slack:
                    dominated = False
                    break
            if dominated:
                break
        if not dominated:
            kept[index] = True
            front[size] = index
            size += 1
    return kept
