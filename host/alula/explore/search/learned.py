"""A number of points, learned from some: a term for each value of an axis, and for each pair."""

from itertools import combinations

import numpy as np

_PENALTY = 0.1
"""Of a term's square, so that what was seen little says little."""
_MOST_PAIRS = 1500
"""Terms of pairs at most, those of few values first."""


class Learned:
    """A ridge regression over the values of axes and their pairs.

    Args:
        places: int [points, axes]: which value of each axis all points have.
        known: int [some]: the points that are known.
        targets: float [some]: their numbers.

    Attributes:
        values: float [points]: the number of each.
    """

    def __init__(self, places: np.ndarray, known: np.ndarray, targets: np.ndarray) -> None:
        terms = _terms(places)
        mean = targets.mean()
        if np.ptp(targets) == 0:
            self.values = np.full(len(places), mean)
            return
        sizes = [int(term.max()) + 1 for term in terms]
        starts = np.concatenate([[0], np.cumsum(sizes)])
        matrix = np.zeros((len(known), starts[-1]))
        rows = np.arange(len(known))
        for term, start in zip(terms, starts, strict=False):
            matrix[rows, start + term[known]] = 1.0
        weights = _solve(matrix, targets - mean)
        self.values = mean + sum(
            weights[start + term] for term, start in zip(terms, starts, strict=False)
        )


def _terms(places: np.ndarray) -> list[np.ndarray]:
    """Which term of each group points have: a group an axis, and a group a pair of axes."""
    axes = [column for column in places.T if column.max() > 0]
    sizes = [int(column.max()) + 1 for column in axes]
    found, room = list(axes), _MOST_PAIRS
    pairs = sorted(combinations(range(len(axes)), 2), key=lambda p: sizes[p[0]] * sizes[p[1]])
    for one, other in pairs:
        room -= sizes[one] * sizes[other]
        if room < 0:
            break
        found.append(axes[one] * sizes[other] + axes[other])
    return found


def _solve(matrix: np.ndarray, targets: np.ndarray) -> np.ndarray:
    """Ridge weights, by the smaller of the two systems."""
    rows, columns = matrix.shape
    if rows < columns:
        kernel = matrix @ matrix.T + _PENALTY * np.eye(rows)
        return matrix.T @ np.linalg.solve(kernel, targets)
    square = matrix.T @ matrix + _PENALTY * np.eye(columns)
    return np.linalg.solve(square, matrix.T @ targets)
