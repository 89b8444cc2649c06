"""The contract's arithmetic on a CPU, whole rows at a time; the bits are those of torch's passes.

What torch does in some twenty passes over memory is one here. Arrays are C-contiguous; rows are
dealt out to as many threads as torch uses. (The machine model has kernels of its own: neither
borrows from the other.)
"""

import math
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache
from itertools import pairwise
from typing import Any

import numba
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from alula.design import GROUP
from alula.isa.formats import PARTIAL_SUMS, Q_MAX, SCALE_MAX
from alula.isa.functions import EXP2, RECIP, RSQRT, Function, Table
from alula.quant.floats import LARGEST, SMALLEST

_MOST_EXPONENT = 1022
_POWERS = np.ldexp(1.0, np.arange(-_MOST_EXPONENT, _MOST_EXPONENT + 1))
"""``2.0 ** (index - _MOST_EXPONENT)``."""
_LARGEST, _LEAST = np.float32(LARGEST), np.float32(SMALLEST)
_LOG2E, _INVERSE = np.float32(math.log2(math.e)), np.float32(1 / Q_MAX)
_BITS = SCALE_MAX.bit_length()
_EXP_STEP, _EXP_FRACTION = EXP2.step_bits, EXP2.fraction_bits
_EXP_BITS = _EXP_STEP + 7
_RECIP_STEP, _RECIP_FRACTION = RECIP.step_bits, RECIP.fraction_bits
_RSQRT_STEP, _RSQRT_FRACTION = RSQRT.step_bits, RSQRT.fraction_bits
_ROUND = 1.5 * 2.0**52
"""Added to a number and taken away again it leaves the nearest integer, ties to even."""
_ONE = 1 << 24

Coefficients = tuple[NDArray[np.int64], NDArray[np.int64]]


@lru_cache
def _coefficients(table: Table) -> Coefficients:
    start, rise = table.coefficients
    return np.array(start, np.int64), np.array(rise, np.int64)


@numba.njit(cache=True, nogil=True)
def _rounded(value: Any) -> np.float32:
    """``fl`` of an exact float64 value."""
    if abs(value) < SMALLEST:
        return np.float32(0)
    return min(max(np.float32(value), -_LARGEST), _LARGEST)


@numba.njit(cache=True, nogil=True)
def _product(a: np.float32, b: np.float32) -> np.float32:
    return _rounded(np.float64(a) * np.float64(b))


@numba.njit(cache=True, nogil=True)
def _total(a: np.float32, b: np.float32) -> np.float32:
    value = np.float32(a + b)
    if abs(value) < _LEAST:
        return np.float32(0)
    return min(max(value, -_LARGEST), _LARGEST)


@numba.njit(cache=True, nogil=True)
def _interpolated(start: NDArray[np.int64], rise: NDArray[np.int64], step_bits: int, u: Any) -> Any:
    index = u >> step_bits
    return start[index] + ((rise[index] * (u & ((1 << step_bits) - 1))) >> step_bits)


@numba.njit(cache=True, nogil=True)
def _exp(start: NDArray[np.int64], rise: NDArray[np.int64], x: np.float32) -> np.float32:
    """``exp(x)`` for x <= 0."""
    scaled = max(np.float64(_product(x, _LOG2E)), -256.0) * (1 << _EXP_BITS)
    u = np.int64(math.floor(scaled + 0.5))
    n = max(u >> _EXP_BITS, -127)
    y = _interpolated(start, rise, _EXP_STEP, u & ((1 << _EXP_BITS) - 1))
    return _rounded(y * _POWERS[n - _EXP_FRACTION + _MOST_EXPONENT]) if n > -127 else np.float32(0)


@numba.njit(cache=True, nogil=True)
def _recip(start: NDArray[np.int64], rise: NDArray[np.int64], x: np.float32) -> np.float32:
    """``1 / x`` for x > 0."""
    mantissa, exponent = math.frexp(x)
    u = int((2 * mantissa - 1) * (1 << 23))
    y = _interpolated(start, rise, _RECIP_STEP, u)
    return _rounded(y * _POWERS[1 - exponent - _RECIP_FRACTION + _MOST_EXPONENT])


@numba.njit(cache=True, nogil=True)
def _rsqrt(start: NDArray[np.int64], rise: NDArray[np.int64], x: np.float32) -> np.float32:
    """``1 / sqrt(x)`` for x >= 0; the largest number for x = 0."""
    if x == 0:
        return _LARGEST
    mantissa, exponent = math.frexp(x)
    odd = (exponent - 1) & 1
    u = int((2 * mantissa - 1) * (1 << 23))
    u = (1 << 23) + 2 * u if odd else u
    y = _interpolated(start, rise, _RSQRT_STEP, u)
    return _rounded(y * _POWERS[_MOST_EXPONENT - ((exponent - 1) >> 1) - _RSQRT_FRACTION])


@numba.njit(cache=True, nogil=True)
def _folded(partial: NDArray[np.float32]) -> np.float32:
    """The sum of partial sums, which are lost."""
    half = len(partial) // 2
    while half:
        for at in range(half):
            partial[at] = _total(partial[at], partial[at + half])
        half //= 2
    return partial[0]


@numba.njit(cache=True, nogil=True)
def _quantise(
    first: int,
    last: int,
    x: NDArray[np.float32],
    scaled: NDArray[np.int16],
    exponent: NDArray[np.int64],
) -> None:
    inputs = x.shape[1]
    groups = -(-inputs // GROUP)
    steps = np.empty(groups)
    for row in range(first, last):
        largest = 0.0
        for group in range(groups):
            top = np.float32(0)
            for at in range(GROUP * group, min(GROUP * (group + 1), inputs)):
                top = max(top, abs(x[row, at]))
            steps[group] = _product(top, _INVERSE)
            largest = max(largest, steps[group])
        power = math.frexp(largest)[1] - _BITS if largest > 0 else 0
        exponent[row] = power
        unit = _POWERS[_MOST_EXPONENT - power]
        for group in range(groups):
            scale = min(max(math.ceil(steps[group] * unit), 1.0), SCALE_MAX * 1.0)
            inverse = np.float32(1 / scale)
            for at in range(GROUP * group, min(GROUP * (group + 1), inputs)):
                q = (_product(x[row, at], inverse) * unit + _ROUND) - _ROUND
                scaled[row, at] = np.int16(min(max(q, -1.0 * Q_MAX), 1.0 * Q_MAX) * scale)


@numba.njit(cache=True, nogil=True)
def _softmax(
    first: int,
    last: int,
    x: NDArray[np.float32],
    inside: NDArray[np.bool_],
    factors: NDArray[np.float32],
    exp_table: Coefficients,
    recip_table: Coefficients,
    result: NDArray[np.float32],
) -> None:
    """Row r of ``[batches * rows, n]`` is row ``r % rows``; batches may share masks."""
    width, rows = x.shape[1], inside.shape[1]
    partial = np.empty(PARTIAL_SUMS, np.float32)
    for row in range(first, last):
        batch, place = row // rows, row % rows
        mask, factor = inside[batch % len(inside), place], factors[batch]
        values, out = x[row], result[row]
        end, largest = 0, np.float32(-np.inf)
        for at in range(width):
            if mask[at]:
                end, largest = at + 1, max(largest, values[at])
        for at in range(end):
            value = values[at] if mask[at] else largest
            e = _exp(exp_table[0], exp_table[1], _total(value, -largest))
            out[at] = e if mask[at] else np.float32(0)
        partial[:] = 0
        for start in range(0, end, PARTIAL_SUMS):
            for at in range(min(PARTIAL_SUMS, end - start)):
                partial[at] = _total(partial[at], out[start + at])
        inverse = _recip(recip_table[0], recip_table[1], _folded(partial))
        for at in range(end):
            out[at] = _product(_product(out[at], inverse), factor[at])
        out[end:] = 0


@numba.njit(cache=True, nogil=True)
def _activate(
    first: int,
    last: int,
    x: NDArray[np.float32],
    factor: NDArray[np.float32],
    table: Coefficients,
    step_bits: int,
    argument_bits: int,
    high: float,
    result: NDArray[np.float32],
) -> None:
    """Without coefficients it is ReLU; without a factor, whose array is empty then, no product."""
    start, rise = table
    end = len(start) << step_bits
    for row in range(first, last):
        values, out = x[row], result[row]
        if end == 0:
            for at in range(len(values)):
                out[at] = max(values[at], np.float32(0))
        for at in range(len(values) if end else 0):
            scaled = min(abs(np.float64(values[at])), 2 * high) * (1 << argument_bits)
            u = np.int64(scaled + 0.5)
            y = _interpolated(start, rise, step_bits, min(u, end - 1))
            y = _ONE if u >= end else y
            y = _ONE - y if values[at] < 0 else y
            out[at] = _product(values[at], _rounded(y * 2.0**-24))
        if factor.size:
            others = factor[row]
            for at in range(len(values)):
                out[at] = _product(out[at], others[at])


@numba.njit(cache=True, nogil=True)
def _finish(
    first: int,
    last: int,
    sums: NDArray[np.int32],
    factor: NDArray[np.float32],
    exponent: NDArray[np.int64],
    result: NDArray[np.float32],
) -> None:
    """Sums ``[high and low of x, rows, high and low of w or w alone, outputs]``."""
    for row in range(first, last):
        unit, out = _POWERS[exponent[row] + _MOST_EXPONENT], result[row]
        high, low = sums[0, row, -1], sums[1, row, -1]
        totals = np.empty(len(out))
        for at in range(len(out)):
            totals[at] = 256.0 * high[at] + low[at]
        if sums.shape[2] > 1:
            high, low = sums[0, row, 0], sums[1, row, 0]
            for at in range(len(out)):
                totals[at] += 65536.0 * high[at] + 256.0 * low[at]
        if factor.size:
            for at in range(len(out)):
                out[at] = _rounded(unit * _product(np.float32(totals[at]), factor[at]))
        else:
            for at in range(len(out)):
                out[at] = _rounded(unit * np.float32(totals[at]))


@numba.njit(cache=True, nogil=True)
def _normalise(
    first: int,
    last: int,
    x: NDArray[np.float32],
    gain: NDArray[np.float32],
    inverse: np.float32,
    epsilon: np.float32,
    table: Coefficients,
    result: NDArray[np.float32],
) -> None:
    partial = np.empty(PARTIAL_SUMS, np.float32)
    for row in range(first, last):
        values, out = x[row], result[row]
        for at in range(len(values)):
            out[at] = _product(values[at], values[at])
        partial[:] = 0
        for start in range(0, len(values), PARTIAL_SUMS):
            for at in range(min(PARTIAL_SUMS, len(values) - start)):
                partial[at] = _total(partial[at], out[start + at])
        mean = _product(_folded(partial), inverse)
        root = _rsqrt(table[0], table[1], _total(mean, epsilon))
        for at in range(len(values)):
            out[at] = _product(_product(values[at], root), gain[at])


def quantise(x: Tensor) -> tuple[Tensor, Tensor]:
    """QUANT of float32 ``[..., K]``: ``q * u``, int16 ``[..., K]``, and E, int64 ``[..., 1]``."""
    rows = x.reshape(-1, x.shape[-1]).contiguous()
    scaled = torch.empty(rows.shape, dtype=torch.int16)
    exponent = torch.empty(len(rows), dtype=torch.int64)
    _run(_quantise, len(rows), rows.numpy(), scaled.numpy(), exponent.numpy())
    return scaled.view(x.shape), exponent.view(*x.shape[:-1], 1)


def softmax(x: Tensor, inside: Tensor, factors: Tensor) -> Tensor:
    """SOFTMAX of ``[B, T, n]``; see `operations.softmax`."""
    batches, count, width = x.shape
    result = torch.empty(x.shape)
    rows = x.reshape(-1, width).contiguous().numpy()
    factor = factors.expand(batches, 1, width).reshape(batches, width).contiguous().numpy()
    masks = inside.reshape(-1, count, width).contiguous().numpy()
    tables = _coefficients(EXP2), _coefficients(RECIP)
    _run(_softmax, len(rows), rows, masks, factor, *tables, result.view(-1, width).numpy())
    return result


def rmsnorm(x: Tensor, gain: Tensor, eps: float, count: int) -> Tensor:
    """RMSNORM of ``[..., n]``; see `operations.rmsnorm`."""
    rows, result = x.reshape(-1, x.shape[-1]).contiguous(), torch.empty(x.shape)
    numbers = gain.contiguous().numpy(), np.float32(1 / count), np.float32(eps)
    found = result.view(rows.shape).numpy()
    _run(_normalise, len(rows), rows.numpy(), *numbers, _coefficients(RSQRT), found)
    return result


def activate(function: Function, x: Tensor, factor: Tensor | None) -> Tensor:
    """ACT of float32 ``[..., n]``, times `factor` if there is one."""
    table, result = function.table, torch.empty(x.shape)
    rows, found = (part.reshape(-1, x.shape[-1]).contiguous() for part in (x, result))
    other = np.empty((0, 0), np.float32)
    if factor is not None:
        other = factor.reshape(rows.shape).contiguous().numpy()
    none = np.empty(0, np.int64)
    details: tuple[Any, ...] = ((none, none), 0, 0, 0.0)
    if table is not None:
        details = (_coefficients(table), table.step_bits, table.argument_bits, table.high)
    _run(_activate, len(rows), rows.numpy(), other, *details, found.numpy())
    return result


def finish(sums: Tensor, factor: Tensor | None, exponent: Tensor) -> Tensor:
    """MM's result float32 ``[T, N]`` of exact sums in parts.

    Args:
        sums: int32 ``[2, T, P, N]``: of the high and the low byte of the activations, and of the
            weights' high and low bytes (P = 2) or of weights of a byte (P = 1).
        factor: c, ``[N]``; None: 1.
        exponent: E, int64 ``[T, 1]``.
    """
    _, rows, _, outputs = sums.shape
    result = torch.empty(rows, outputs)
    scale = np.empty(0, np.float32) if factor is None else factor.contiguous().numpy()
    places = exponent.reshape(-1).contiguous().numpy()
    _run(_finish, rows, sums.numpy(), scale, places, result.numpy())
    return result


@lru_cache
def _threads(count: int) -> ThreadPoolExecutor:
    return ThreadPoolExecutor(count, "alula-quant")


def _run(kernel: Callable[..., None], rows: int, *arrays: Any) -> None:
    """Run a kernel on all rows, dealt out to threads where there are more rows than threads."""
    count = min(torch.get_num_threads(), rows)
    if count <= 1:
        kernel(0, rows, *arrays)
        return
    ends = [rows * part // count for part in range(count + 1)]
    pool = _threads(count)
    parts = [pool.submit(kernel, *part, *arrays) for part in pairwise(ends)]
    for part in parts:
        part.result()
