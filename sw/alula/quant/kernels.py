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
_LANES = GROUP // 2

Coefficients = tuple[NDArray[np.int64], NDArray[np.int64]]


@lru_cache
def _coefficients(table: Table) -> Coefficients:
    start, rise = table.coefficients
    return np.array(start, np.int64), np.array(rise, np.int64)


@numba.njit(cache=True, nogil=True)
def _indices(count: int) -> range:
    """0 to below `count`, unsigned: as none counts from an array's end, loops become vectors."""
    return range(np.uint64(count))


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
    index = np.uint64(u >> step_bits)
    return start[index] + ((rise[index] * (u & ((1 << step_bits) - 1))) >> step_bits)


@numba.njit(cache=True, nogil=True)
def _power(exponent: Any) -> Any:
    """``2.0 ** exponent`` of a normal float64, out of its bits."""
    return np.int64((exponent + 1023) << 52).view(np.float64)


@numba.njit(cache=True, nogil=True)
def _exponentials(
    table: Coefficients,
    x: NDArray[np.float32],
    arguments: NDArray[np.int64],
    found: NDArray[np.int64],
) -> None:
    """``exp(x)`` for x <= 0, in place; the look-ups, which are no vectors, in a loop of their own.

    `arguments` and `found` are as long as `x`, and lost.
    """
    start, rise = table
    for at in _indices(len(x)):
        scaled = max(np.float64(_product(x[at], _LOG2E)), -256.0) * (1 << _EXP_BITS)
        arguments[at] = np.int64(np.floor(scaled + 0.5))
    for at in _indices(len(x)):
        found[at] = _interpolated(start, rise, _EXP_STEP, arguments[at] & ((1 << _EXP_BITS) - 1))
    for at in _indices(len(x)):
        n = max(arguments[at] >> _EXP_BITS, -127)
        y = _rounded(found[at] * _power(n - _EXP_FRACTION))
        x[at] = y if n > -127 else np.float32(0)


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
def _sum(terms: NDArray[np.float32], partial: NDArray[np.float32]) -> np.float32:
    """SUM, by partial sums in an array for them."""
    partial[:] = 0
    for start in range(0, len(terms), PARTIAL_SUMS):
        some = terms[start : start + PARTIAL_SUMS]
        for at in _indices(len(some)):
            partial[at] = _total(partial[at], some[at])
    half = PARTIAL_SUMS // 2
    while half:
        for at in range(half):
            partial[at] = _total(partial[at], partial[at + half])
        half //= 2
    return partial[0]


@numba.njit(cache=True, nogil=True)
def _largest(values: NDArray[np.float32], lanes: NDArray[np.float32]) -> np.float32:
    """The largest value, by one for each lane in an array for them."""
    lanes[:] = values[0]
    for start in range(0, len(values), len(lanes)):
        some = values[start : start + len(lanes)]
        for at in _indices(len(some)):
            lanes[at] = max(lanes[at], some[at])
    largest = lanes[0]
    for at in _indices(len(lanes)):
        largest = max(largest, lanes[at])
    return largest


@numba.njit(cache=True, nogil=True)
def _quantise(
    first: int,
    last: int,
    x: NDArray[np.float32],
    parts: NDArray[np.int8],
    exponent: NDArray[np.int64],
) -> None:
    """To bytes ``[rows, high and low, inputs up to whole groups]``."""
    inputs, groups = x.shape[1], parts.shape[2] // GROUP
    steps, lanes = np.empty(groups), np.empty(_LANES, np.float32)
    padded = np.zeros(groups * GROUP, np.float32)
    values = padded.reshape(groups, GROUP)
    for row in range(first, last):
        padded[:inputs] = x[row]
        for group in range(groups):
            some = values[group]
            for at in _indices(_LANES):
                lanes[at] = max(abs(some[at]), abs(some[at + np.uint64(_LANES)]))
            top = np.float32(0)
            for at in _indices(_LANES):
                top = max(top, lanes[at])
            steps[group] = _product(top, _INVERSE)
        largest = steps.max()
        power = math.frexp(largest)[1] - _BITS if largest > 0 else 0
        exponent[row] = power
        unit = _POWERS[_MOST_EXPONENT - power]
        highs, lows = parts[row, 0].reshape(groups, GROUP), parts[row, 1].reshape(groups, GROUP)
        for group in range(groups):
            scale = min(max(math.ceil(steps[group] * unit), 1.0), SCALE_MAX * 1.0)
            inverse = np.float32(1 / scale)
            some, high, low = values[group], highs[group], lows[group]
            for at in _indices(GROUP):
                q = (_product(some[at], inverse) * unit + _ROUND) - _ROUND
                scaled = np.int32(min(max(q, -1.0 * Q_MAX), 1.0 * Q_MAX) * scale)
                above = (scaled + 128) >> 8
                high[at], low[at] = above, scaled - (above << 8)


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
    arguments, found = np.empty(width, np.int64), np.empty(width, np.int64)
    partial = np.empty(PARTIAL_SUMS, np.float32)
    for row in range(first, last):
        batch, place = row // rows, row % rows
        mask, factor = inside[batch % len(inside), place], factors[batch]
        end = width
        while end and not mask[end - 1]:
            end -= 1
        result[row, end:] = 0
        if end == 0:
            continue
        values, out = x[row], result[row, :end]
        for at in _indices(end):
            out[at] = values[at] if mask[at] else -np.float32(np.inf)
        largest = _largest(out, partial)
        for at in _indices(end):
            out[at] = _total(out[at] if mask[at] else largest, -largest)
        _exponentials(exp_table, out, arguments, found)
        for at in _indices(end):
            out[at] = out[at] if mask[at] else np.float32(0)
        inverse = _recip(recip_table[0], recip_table[1], _sum(out, partial))
        for at in _indices(end):
            out[at] = _product(_product(out[at], inverse), factor[at])


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
    found = np.empty(x.shape[1], np.int64)
    for row in range(first, last):
        values, out = x[row], result[row]
        if end == 0:
            for at in _indices(len(values)):
                out[at] = max(values[at], np.float32(0))
        else:
            for at in _indices(len(values)):
                scaled = min(abs(np.float64(values[at])), 2 * high) * (1 << argument_bits)
                found[at] = np.int64(scaled + 0.5)
            for at in _indices(len(values)):
                y = _interpolated(start, rise, step_bits, min(found[at], end - 1))
                found[at] = y if found[at] < end else _ONE
            for at in _indices(len(values)):
                y = _ONE - found[at] if values[at] < 0 else found[at]
                out[at] = _product(values[at], _rounded(y * 2.0**-24))
        if factor.size:
            others = factor[row]
            for at in _indices(len(values)):
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
    """Sums ``[rows, high and low of x, high and low of w or w alone, outputs]``."""
    totals = np.empty(result.shape[1])
    for row in range(first, last):
        unit, out = _POWERS[exponent[row] + _MOST_EXPONENT], result[row]
        high, low = sums[row, 0, -1], sums[row, 1, -1]
        for at in _indices(len(out)):
            totals[at] = 256.0 * high[at] + low[at]
        if sums.shape[2] > 1:
            high, low = sums[row, 0, 0], sums[row, 1, 0]
            for at in _indices(len(out)):
                totals[at] += 65536.0 * high[at] + 256.0 * low[at]
        if factor.size:
            for at in _indices(len(out)):
                out[at] = _rounded(unit * _product(np.float32(totals[at]), factor[at]))
        else:
            for at in _indices(len(out)):
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
        for at in _indices(len(values)):
            out[at] = _product(values[at], values[at])
        mean = _product(_sum(out, partial), inverse)
        root = _rsqrt(table[0], table[1], _total(mean, epsilon))
        for at in _indices(len(values)):
            out[at] = _product(_product(values[at], root), gain[at])


@numba.njit(cache=True, nogil=True)
def _rope(
    first: int,
    last: int,
    x: NDArray[np.float32],
    cosine: NDArray[np.float32],
    sine: NDArray[np.float32],
    result: NDArray[np.float32],
) -> None:
    """Rows ``[tokens, heads, dim]``, tables ``[tokens, dim / 2]``."""
    half = cosine.shape[1]
    for row in range(first, last):
        c, s = cosine[row], sine[row]
        for head in range(x.shape[1]):
            a, b = x[row, head, :half], x[row, head, half:]
            one, other = result[row, head, :half], result[row, head, half:]
            for at in _indices(half):
                one[at] = _total(_product(a[at], c[at]), -_product(b[at], s[at]))
                other[at] = _total(_product(b[at], c[at]), _product(a[at], s[at]))


def quantise(x: Tensor) -> tuple[Tensor, Tensor]:
    """QUANT of float32 ``[..., K]``: bytes of ``q * u``, and E, int64 ``[..., 1]``.

    The bytes are int8 ``[..., 2, K]``, high ones and low ones, with zeros up to whole groups.
    """
    rows = x.reshape(-1, x.shape[-1]).contiguous()
    inputs = -(-x.shape[-1] // GROUP) * GROUP
    parts = torch.empty((len(rows), 2, inputs), dtype=torch.int8)
    exponent = torch.empty(len(rows), dtype=torch.int64)
    _run(_quantise, len(rows), rows.numpy(), parts.numpy(), exponent.numpy())
    return parts.view(*x.shape[:-1], 2, inputs), exponent.view(*x.shape[:-1], 1)


def rope(x: Tensor, cosine: Tensor, sine: Tensor) -> Tensor:
    """ROPE on heads ``[T, heads, dim]``; see `operations.rope`."""
    result = torch.empty(x.shape)
    tables = (part.reshape(len(x), -1).contiguous().numpy() for part in (cosine, sine))
    _run(_rope, len(x), x.contiguous().numpy(), *tables, result.numpy())
    return result


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
        sums: int32 ``[T, 2, P, N]``: of the high and the low byte of the activations, and of the
            weights' high and low bytes (P = 2) or of weights of a byte (P = 1).
        factor: c, ``[N]``; None: 1.
        exponent: E, int64 ``[T, 1]``.
    """
    rows, _, _, outputs = sums.shape
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
