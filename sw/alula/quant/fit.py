"""The fit of scales and mins (W4, W3, W2): integers that come nearest to a row of weights.

Compiled and deterministic. Everything is in units of the row's scale `c`. A group starts from its
range in some number of steps; then `(s, m)` walks to the best neighbour, and to the least-squares
`s`, until nothing improves.
"""

import math
import os

import numba
import numpy as np
from numpy.typing import NDArray

from alula.design import GROUP
from alula.isa.formats import MIN_UNIT, WeightFormat
from alula.processes import in_threads
from alula.quant.floats import SMALLEST, FloatArray

_S_MAX = 255
_M_LOW, _M_HIGH = -128, 127
_SPANS = (15.0, 16.1, 17.4, 19.0, 14.0, 13.0, 12.0, 11.0)
"""Steps that a group's range is taken for at first, of 15: its ends are clipped, or levels stay
empty."""
_NEIGHBOURS = ((1, 0), (-1, 0), (0, 1), (0, -1), (1, -1), (-1, 1))
_STEPS = 8
_PART = 1 << 20
"""Weights that are fitted in one go."""

_ONE, _ZERO = np.float32(1), np.float32(0)


def fit_mins(
    fmt: WeightFormat,
    weight: FloatArray,
    q: NDArray[np.uint8],
    s: NDArray[np.uint8],
    m: NDArray[np.int8],
    c: FloatArray,
) -> None:
    """Fit every row of `weight` ``[N, K]``, finite, in a dense format whose groups have mins.

    Writes q ``[N, K32]``, s and m ``[N, G]``, c ``[N]``. Rows of zeros get c, q and m of 0, s of 1.
    """
    workers = os.cpu_count() or 1
    # Parts small enough that Ctrl-C need not wait long for those that have begun.
    step = max(1, min(-(-len(weight) // (4 * workers)), _PART // weight.shape[1]))
    parts = [slice(first, first + step) for first in range(0, len(weight), step)]

    def fit(part: slice) -> None:
        _fit_rows(weight[part], fmt.excess, q[part], s[part], m[part], c[part])

    list(in_threads(fit, parts, workers))


@numba.njit(cache=True, nogil=True)
def _fit_rows(weight, excess, q, s, m, c):  # pyright: ignore
    x, rest = np.empty(GROUP, np.float32), np.empty(GROUP, np.float32)
    inputs, levels = weight.shape[1], 2 * excess - 1
    low, high = np.float32(-excess), np.float32(levels - excess)
    for row in range(len(weight)):
        scale = _row_scale(weight[row], levels)
        c[row] = scale
        if scale == 0.0:
            s[row], m[row], q[row] = 1, 0, 0
            continue
        for group in range(s.shape[1]):
            first = group * GROUP
            count = min(GROUP, inputs - first)
            for k in range(GROUP):
                x[k] = weight[row, first + k % count] / scale
            best_s, best_m = _fit_group(x, rest, low, high)
            s[row, group], m[row, group] = best_s, best_m
            inverse, offset = _ONE / np.float32(best_s), np.float32(MIN_UNIT * best_m)
            for k in range(GROUP):
                level = np.rint(min(max((x[k] - offset) * inverse, low), high))
                q[row, first + k] = np.uint8(level + excess) if k < count else 0


@numba.njit(cache=True, nogil=True)
def _row_scale(row, levels):  # pyright: ignore
    """The smallest normal bf16 scale under which every group's s and m fit."""
    need = 0.0
    for first in range(0, len(row), GROUP):
        low = high = np.float64(row[first])
        for value in row[first + 1 : first + GROUP]:
            low, high = min(low, value), max(high, value)
        need = max(need, (high - low) / (levels * _S_MAX))
        reach = abs(high + low) / 2 + (high - low) / (2 * levels)
        need = max(need, reach / (MIN_UNIT * _M_HIGH))
    if need == 0.0:
        return 0.0
    mantissa, exponent = math.frexp(max(need, SMALLEST))
    return math.ldexp(math.ceil(mantissa * 256.0), exponent - 8)


@numba.njit(cache=True, nogil=True)
def _error(x, rest, s, m, low, high):  # pyright: ignore
    """Squared error of a group under (s, m), each q the best one for it."""
    scale, offset = np.float32(s), np.float32(MIN_UNIT * m)
    inverse = _ONE / scale
    for k in range(GROUP):
        value = x[k] - offset
        error = value - scale * np.rint(min(max(value * inverse, low), high))
        rest[k] = error * error
    for half in (16, 8, 4, 2, 1):
        for k in range(half):
            rest[k] += rest[k + half]
    return rest[0]


@numba.njit(cache=True, nogil=True)
def _least_squares_s(x, s, m, low, high):  # pyright: ignore
    """The best s for the levels that (s, m) gives."""
    offset = np.float32(MIN_UNIT * m)
    inverse = _ONE / np.float32(s)
    above = below = _ZERO
    for k in range(GROUP):
        value = x[k] - offset
        level = np.rint(min(max(value * inverse, low), high))
        above += level * value
        below += level * level
    return _clamped(above / below, 1, _S_MAX) if below > 0 else s


@numba.njit(cache=True, nogil=True)
def _clamped(value, low, high):  # pyright: ignore
    return int(min(max(np.rint(value), low), high))


@numba.njit(cache=True, nogil=True)
def _fit_group(x, rest, low, high):  # pyright: ignore
    least, most, levels = x.min(), x.max(), high - low
    best_s, best_m, best = 1, 0, np.float32(np.inf)
    for span in _SPANS:
        steps = span * (np.float64(levels) / _SPANS[0])
        s = _clamped((most - least) / steps, 1, _S_MAX)
        first = least + max(steps - levels, 0.0) / 2 * s
        m = _clamped((first - low * s) / MIN_UNIT, _M_LOW, _M_HIGH)
        error = _error(x, rest, s, m, low, high)
        if error < best:
            best_s, best_m, best = s, m, error
    for _ in range(_STEPS):
        start_s, start_m = best_s, best_m
        s = _least_squares_s(x, start_s, start_m, low, high)
        error = _error(x, rest, s, start_m, low, high)
        if error < best:
            best_s, best = s, error
        for ds, dm in _NEIGHBOURS:
            s, m = start_s + ds, start_m + dm
            if 1 <= s <= _S_MAX and _M_LOW <= m <= _M_HIGH:
                error = _error(x, rest, s, m, low, high)
                if error < best:
                    best_s, best_m, best = s, m, error
        if best_s == start_s and best_m == start_m:
            break
    return best_s, best_m
