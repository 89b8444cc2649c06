"""QUANT and QUANTKV."""

import math

import numpy as np

from alula.isa.formats import Q_MAX, SCALE_MAX
from alula.model.kernels.arithmetic import bf16_bits, multiply, reciprocal
from alula.model.kernels.compiled import kernel

LIMIT = float(Q_MAX)
INVERSE = np.float32(1 / Q_MAX)
SCALE_BITS = SCALE_MAX.bit_length()
RECIPROCALS = (1 / np.maximum(np.arange(SCALE_MAX + 1), 1)).astype(np.float32)


@kernel()
def _clamp(value):
    return min(max(np.rint(value), -LIMIT), LIMIT)


@kernel()
def quantise(v, src, rows, length, stride, q, scale, exponent, dst, slot):
    """QUANT: rows of `length` into rows `slot`.. of the matrix at group `dst`."""
    tokens = q.shape[1]
    groups = (length + 31) // 32
    tops = np.empty(groups, np.float32)
    for row in range(rows):
        x = src + row * stride
        largest = np.float32(0)
        for g in range(groups):
            top = np.float32(0)
            for i in range(32 * g, min(32 * g + 32, length)):
                top = max(top, abs(v[x + i]))
            tops[g] = multiply(top, INVERSE)
            largest = max(largest, tops[g])
        # frexp gives largest = m * 2**e with 1/2 <= m < 1
        common = math.frexp(np.float64(largest))[1] - SCALE_BITS if largest > 0 else 0
        unit = math.ldexp(1.0, -common)
        place = (slot + row) // tokens * groups + dst
        t = (slot + row) % tokens
        for g in range(groups):
            exponent[place + g, t] = common
            u = min(max(math.ceil(np.float64(tops[g]) * unit), 1), SCALE_MAX)
            scale[place + g, t] = u
            inverse = RECIPROCALS[u]
            for k in range(32):
                i = 32 * g + k
                value = np.float64(multiply(v[x + i], inverse)) if i < length else 0.0
                q[place + g, t, k] = np.int8(_clamp(value * unit))


@kernel()
def quantise_kv(v, src, rows, heads, dim, stride, q, c, dst, table):
    """QUANTKV: heads into staging rows; values beyond `dim` up to a whole group are zero."""
    padded = (dim + 31) // 32 * 32
    single = np.empty(1, np.uint32)
    for row in range(rows):
        for head in range(heads):
            x = src + row * stride + head * dim
            top = np.float32(0)
            for i in range(dim):
                top = max(top, abs(v[x + i]))
            bits = bf16_bits(multiply(top, INVERSE))
            place = dst + row * heads + head
            c[place] = bits
            single[0] = np.uint32(bits << 16)
            r = np.float32(0)
            if bits:
                r = reciprocal(single.view(np.float32)[0], table)
            for i in range(padded):
                value = multiply(v[x + i], r) if i < dim else np.float32(0)
                q[place, i] = np.int8(_clamp(np.float64(value)))
