"""The SFU's instructions on the flat vector buffer. Places and strides count elements.

A result other than 0 says that an argument lies outside a function's domain.
"""

import numpy as np

from alula.isa.formats import PARTIAL_SUMS
from alula.model.kernels.arithmetic import (
    add,
    distribution,
    exponential,
    multiply,
    reciprocal,
    reciprocal_root,
    subtract,
    tree,
)
from alula.model.kernels.compiled import kernel


@kernel()
def _zero(v, start, end):
    for i in range(start, end):
        v[i] = 0


@kernel()
def _sum_squares(v, src, length, centre, partials):
    partials[:] = 0
    for base in range(0, length, PARTIAL_SUMS):
        for j in range(min(PARTIAL_SUMS, length - base)):
            d = subtract(v[src + base + j], centre)
            partials[j] = add(partials[j], multiply(d, d))
    return tree(partials)


@kernel()
def _sum(v, src, length, partials):
    partials[:] = 0
    for base in range(0, length, PARTIAL_SUMS):
        for j in range(min(PARTIAL_SUMS, length - base)):
            partials[j] = add(partials[j], v[src + base + j])
    return tree(partials)


@kernel()
def rms_norm(v, dst, src, gain, rows, length, pitch, inverse, epsilon, table):
    """RMSNORM; rows are `pitch` apart."""
    partials = np.empty(PARTIAL_SUMS, np.float32)
    for row in range(rows):
        x, y = src + row * pitch, dst + row * pitch
        total = _sum_squares(v, x, length, np.float32(0), partials)
        variance = add(multiply(total, inverse), epsilon)
        if variance < 0:
            return 1
        r = reciprocal_root(variance, table)
        for i in range(length):
            v[y + i] = multiply(multiply(v[x + i], r), v[gain + i])
        _zero(v, y + length, y + pitch)
    return 0


@kernel()
def layer_norm(v, dst, src, gain, rows, length, pitch, inverse, epsilon, table):
    """LAYERNORM; the bias lies one pitch after the gain."""
    partials = np.empty(PARTIAL_SUMS, np.float32)
    for row in range(rows):
        x, y = src + row * pitch, dst + row * pitch
        mean = multiply(_sum(v, x, length, partials), inverse)
        total = _sum_squares(v, x, length, mean, partials)
        variance = add(multiply(total, inverse), epsilon)
        if variance < 0:
            return 1
        r = reciprocal_root(variance, table)
        for i in range(length):
            d = subtract(v[x + i], mean)
            v[y + i] = add(multiply(multiply(d, r), v[gain + i]), v[gain + pitch + i])
        _zero(v, y + length, y + pitch)
    return 0


@kernel()
def softmax(v, src, rows, length, step, stride, width, scale, powers, reciprocals):
    """SOFTMAX in place; zeros up to `width`."""
    partials = np.empty(PARTIAL_SUMS, np.float32)
    for row in range(rows):
        x = src + row * stride
        valid = length + row * step
        top = v[x]
        for i in range(1, valid):
            if v[x + i] > top:
                top = v[x + i]
        for i in range(valid):
            v[x + i] = exponential(subtract(v[x + i], top), powers)
        r = reciprocal(_sum(v, x, valid, partials), reciprocals)
        for i in range(valid):
            v[x + i] = multiply(multiply(v[x + i], r), v[scale + i])
        _zero(v, x + valid, x + width)


@kernel()
def rope(v, src, table, rows, heads, dim, stride):
    """ROPE in place."""
    half = dim // 2
    for row in range(rows):
        cosines = table + row * dim
        sines = cosines + half
        for head in range(heads):
            x = src + row * stride + head * dim
            for i in range(half):
                a, b = v[x + i], v[x + half + i]
                c, s = v[cosines + i], v[sines + i]
                v[x + i] = subtract(multiply(a, c), multiply(b, s))
                v[x + half + i] = add(multiply(b, c), multiply(a, s))


@kernel()
def activate(v, gated, dst, a, b, count, table):
    """ACT with a table."""
    for i in range(count):
        x = v[a + i]
        y = multiply(x, distribution(x, table))
        if gated:
            y = multiply(y, v[b + i])
        v[dst + i] = y


@kernel()
def soft_cap(v, src, rows, length, stride, inverse, span, table):
    """SOFTCAP in place."""
    half = np.float32(0.5)
    for row in range(rows):
        for i in range(src + row * stride, src + row * stride + length):
            y = distribution(multiply(v[i], inverse), table)
            v[i] = multiply(subtract(y, half), span)


@kernel()
def rectify(v, gated, dst, a, b, count):
    """ACT of what has no table: the positive part."""
    for i in range(count):
        y = max(v[a + i], np.float32(0))
        if gated:
            y = multiply(y, v[b + i])
        v[dst + i] = y


@kernel()
def add_rows(v, dst, a, b, rows, length, advance):
    """ADD; `b` moves on by `advance` a row."""
    for row in range(rows):
        for i in range(length):
            v[dst + row * length + i] = add(v[a + row * length + i], v[b + row * advance + i])


@kernel()
def first_largest(v, src, count, best, index, base):
    """ARGMAX: (largest value, its index); an index below 0 means none so far."""
    for i in range(count):
        if index < 0 or v[src + i] > best:
            best = v[src + i]
            index = base + i
    return best, index
