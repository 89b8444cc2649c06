"""Inputs of a run one after the other, compiled: what cannot be a product of matrices.

A run is a group of 32 inputs or a run of M. Rows are independent of each other.
"""

import math

import numba
import numpy as np


@numba.njit(cache=True, nogil=True)
def compensate(work, s, offset, factor, kept, low, high, levels, errors):  # pyright: ignore
    """Levels of a run; each one's error goes to the inputs after it, and to `errors`.

    Args:
        work: weights of the run in units of c, ``[N, n]``; changed.
        s: scales of the group, ``[N]``.
        offset: what a level of 0 gives, ``[N]``.
        factor: of the inverse moment, ``[n, n]``, upper.
        kept: bool ``[N, n]``.
        low: the least level.
        high: the largest level.
        levels: written, ``[N, n]``.
        errors: written, ``[N, n]``.
    """
    count = work.shape[1]
    for row in range(len(work)):
        scale = s[row]
        inverse = np.float32(1) / scale if scale != 0 else np.float32(0)
        for k in range(count):
            level = error = np.float32(0)
            if kept[row, k]:
                value = work[row, k] - offset[row]
                level = min(max(np.float32(np.rint(value * inverse)), low), high)
                error = (value - scale * level) / factor[k, k]
            levels[row, k], errors[row, k] = level, error
            for j in range(k + 1, count):
                work[row, j] -= error * factor[k, j]


@numba.njit(cache=True, nogil=True)
def descend(gradient, s, moment, kept, low, high, levels, change):  # pyright: ignore
    """Each level of a run becomes the best for all the others; `change` is what weights moved by.

    Args:
        gradient: error times moment, ``[N, n]``; changed.
        s: of the group, ``[N]``.
        moment: ``[n, n]``.
        kept: bool ``[N, n]``.
        low: the least level.
        high: the largest level.
        levels: changed, ``[N, n]``.
        change: written, ``[N, n]``, in units of c.
    """
    count = gradient.shape[1]
    for row in range(len(gradient)):
        scale = s[row]
        inverse = np.float32(1) / scale if scale != 0 else np.float32(0)
        for k in range(count):
            change[row, k] = 0
            if not kept[row, k]:
                continue
            old = levels[row, k]
            wanted = old + gradient[row, k] / moment[k, k] * inverse
            new = min(max(np.float32(np.rint(wanted)), low), high)
            if new != old:
                moved = (new - old) * scale
                levels[row, k], change[row, k] = new, moved
                for j in range(count):
                    gradient[row, j] -= moved * moment[k, j]


@numba.njit(cache=True, nogil=True)
def prune(work, factor, most, kept, errors):  # pyright: ignore
    """Keeps the `most` weights of a run that are dearest to lose; the others' errors go on.

    Args:
        work: weights of the run, ``[N, n]``; changed.
        factor: of the inverse moment, ``[n, n]``, upper.
        most: weights to keep.
        kept: bool ``[N, n]``, written.
        errors: written, ``[N, n]``.
    """
    count = work.shape[1]
    for row in range(len(work)):
        for k in range(count):
            kept[row, k] = False
        for _ in range(min(most, count)):
            best, place = -math.inf, 0
            for k in range(count):
                price = abs(work[row, k]) / factor[k, k]
                if not kept[row, k] and price > best:
                    best, place = price, k
            kept[row, place] = True
        for k in range(count):
            error = np.float32(0) if kept[row, k] else work[row, k] / factor[k, k]
            errors[row, k] = error
            for j in range(k + 1, count):
                work[row, j] -= error * factor[k, j]
