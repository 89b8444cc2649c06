"""Products of decoded weights and A8 rows: integers to the end, then fp32.

`weights` are the arrays of `alula.model.memory.Weights`. For W4, `rows` are activations `x` as
[row, group, 32], `u` their scales and `sums` their sum for each group, and `power`, each row's
exponent; for W8 and V8, `x` is scaled already and flat. `buffer` is the activation buffer: values,
scales, exponents. Rows of weights are computed in tiles that threads share out.
"""

import math

import numpy as np
from numba import prange

from alula.isa.formats import EXCESS, MIN_UNIT
from alula.model.kernels.arithmetic import fl
from alula.model.kernels.compiled import kernel
from alula.model.kernels.weights import TILE

CHUNK = 512
"""8-bit products with a scale, at most 127 * 127 * 255, whose sum surely fits 32 bits."""


@kernel()
def gather(buffer, src, tokens, groups, rows):
    """Fill `rows` from the activation buffer, in order."""
    q, scale, exponent = buffer
    x, u, sums, power = rows
    for row in range(power.shape[0]):
        first = src + row // tokens * groups
        slot = row % tokens
        power[row] = exponent[first, slot]
        for group in range(groups):
            u[row, group] = scale[first + group, slot]
            total = 0
            for k in range(32):
                value = q[first + group, slot, k]
                total += value
                x[row, group, k] = value
            sums[row, group] = total


@kernel()
def gather_scaled(buffer, src, tokens, groups, x, power):
    """Rows of the activation buffer, times their groups' scales, flat over groups."""
    q, scale, exponent = buffer
    for row in range(power.shape[0]):
        first = src + row // tokens * groups
        slot = row % tokens
        power[row] = exponent[first, slot]
        for group in range(groups):
            u = np.int64(scale[first + group, slot])
            for k in range(32):
                x[row, 32 * group + k] = q[first + group, slot, k] * u


@kernel()
def _finish(acc, c, power, limit, out, at):
    """One result; 1 if the accumulator overflows `limit`."""
    scaled = fl(np.float64(fl(np.float64(acc))) * np.float64(c))
    out[at] = fl(math.ldexp(np.float64(scaled), power))
    return acc >= limit or acc < -limit


@kernel()
def _any(marks):
    found = False
    for i in range(marks.shape[0]):
        found |= marks[i] != 0
    return found


@kernel()
def _unpack(q, tile, group, w):
    """The 4-bit values of a group, inputs in order."""
    # a bound that numba cannot see keeps the loop small
    depth = q.shape[2]
    for k in range(depth):
        for n in range(q.shape[3]):
            pair = q[tile, group, k, n]
            w[k, n] = pair & 15
            w[k + depth, n] = pair >> 4


@kernel()
def _dot(w, x, row, group, start, stop, d):
    """16 products of at most 15 * 127, whose sum fits 16 bits."""
    for n in range(d.shape[0]):
        d[n] = 0
    for k in range(start, stop, 4):
        x0, x1 = x[row, group, k], x[row, group, k + 1]
        x2, x3 = x[row, group, k + 2], x[row, group, k + 3]
        for n in range(d.shape[0]):
            d[n] += w[k, n] * x0 + w[k + 1, n] * x1 + w[k + 2, n] * x2 + w[k + 3, n] * x3


@kernel()
def _weigh(low, high, s, m, tile, group, total, scale, acc, row):
    """(s * (dot - 8 * sum) + 4 * m * sum) * u: 25 bits before the scale."""
    excess, minimum = np.int32(EXCESS * total), np.int32(MIN_UNIT * total)
    for n in range(low.shape[0]):
        dot = np.int32(
            (np.int32(low[n]) + np.int32(high[n]) - excess) * np.int32(s[tile, group, n])
            + np.int32(m[tile, group, n]) * minimum
        )
        acc[row, n] += np.int64(dot) * scale


@kernel()
def _tile_w4(tile, weights, rows, limit, results, out, dst, stride):
    q, s, m, c = weights
    x, u, sums, power = rows
    groups, depth, width, count = q.shape[1], q.shape[2], q.shape[3], x.shape[0]
    w = np.empty((2 * depth, width), np.int16)
    low = np.empty(width, np.int16)
    high = np.empty(width, np.int16)
    acc = np.zeros((count, width), np.int64)
    for g in range(groups):
        _unpack(q, tile, g, w)
        for r in range(count):
            _dot(w, x, r, g, 0, depth, low)
            _dot(w, x, r, g, depth, 2 * depth, high)
            _weigh(low, high, s, m, tile, g, sums[r, g], u[r, g], acc, r)
    overflow = 0
    for r in range(count):
        for n in range(tile * width, min((tile + 1) * width, results)):
            value = acc[r, n - tile * width]
            overflow |= _finish(value, c[n], power[r], limit, out, dst + r * stride + n)
    return overflow


@kernel(parallel=True)
def product_w4(weights, rows, limit, results, out, dst, stride, overflow):
    """W4, tiles shared by all threads; those where an accumulator overflowed are marked."""
    for tile in prange(overflow.shape[0]):
        overflow[tile] = _tile_w4(np.int64(tile), weights, rows, limit, results, out, dst, stride)
    return _any(overflow)


@kernel()
def _dot_8(weights, x):
    total = np.int32(0)
    for k in range(weights.shape[0]):
        total = np.int32(total + np.int32(np.int32(weights[k]) * np.int32(x[k])))
    return total


@kernel()
def _tile_8(tile, weights, x, power, limit, results, out, dst, stride):
    q, c = weights
    length = q.shape[1]
    overflow = 0
    for n in range(tile * TILE, min((tile + 1) * TILE, results)):
        for r in range(x.shape[0]):
            acc = np.int64(0)
            for start in range(0, length, CHUNK):
                acc += _dot_8(q[n, start : start + CHUNK], x[r, start : start + CHUNK])
            overflow |= _finish(acc, c[n], power[r], limit, out, dst + r * stride + n)
    return overflow


@kernel(parallel=True)
def product_8_parallel(weights, x, power, limit, results, out, dst, stride, overflow):
    """W8 and V8, `x` scaled already and flat over groups; marks tiles as `product_w4` does."""
    for tile in prange(overflow.shape[0]):
        overflow[tile] = _tile_8(
            np.int64(tile), weights, x, power, limit, results, out, dst, stride
        )
    return _any(overflow)


@kernel()
def product_8(weights, x, power, limit, results, out, dst, stride, overflow):
    """The same on one thread, which is faster for a head's K or V."""
    for tile in range(overflow.shape[0]):
        overflow[tile] = _tile_8(tile, weights, x, power, limit, results, out, dst, stride)
    return _any(overflow)
