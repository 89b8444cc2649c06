"""fp32 as the contract has it: `fl`, SUM's tree and the interpolated functions."""

import math

import numpy as np

from alula.isa.formats import PARTIAL_SUMS
from alula.model.kernels.compiled import kernel

TINY = 2.0**-126
LARGEST = np.float32(np.finfo(np.float32).max)
LOG2E = float(np.float32(math.log2(math.e)))

EXP_FRACTION = 17
EXP_TABLE_ONE = 23
TABLE_ONE = 24


@kernel()
def fl(value):
    """float64 that is exact (or a sum of two fp32) to fp32: nearest even, flushed, saturated."""
    rounded = np.float32(value)
    if abs(value) < TINY:
        return np.float32(0.0)
    if rounded > LARGEST:
        return LARGEST
    if rounded < -LARGEST:
        return -LARGEST
    return rounded


@kernel()
def add(a, b):
    """fl(a + b) of two fp32."""
    return fl(np.float64(a) + np.float64(b))


@kernel()
def subtract(a, b):
    """fl(a - b) of two fp32."""
    return fl(np.float64(a) - np.float64(b))


@kernel()
def multiply(a, b):
    """fl(a * b) of two fp32."""
    return fl(np.float64(a) * np.float64(b))


@kernel()
def tree(partials):
    """Add the 64 partial sums; they are overwritten."""
    half = PARTIAL_SUMS // 2
    while half:
        for j in range(half):
            partials[j] = add(partials[j], partials[j + half])
        half //= 2
    return partials[0]


@kernel()
def look_up(table, argument):
    """Linear interpolation in integers; `table`: int64 [segments, 2], and the bits of a step."""
    segments, step_bits = table
    index = argument >> step_bits
    rest = argument & ((1 << step_bits) - 1)
    return segments[index, 0] + ((segments[index, 1] * rest) >> step_bits)


@kernel()
def exponential(x, table):
    """exp(x), x <= 0."""
    t = np.float64(multiply(x, np.float32(LOG2E)))
    scaled = np.floor(t * 2.0**EXP_FRACTION + 0.5)
    if scaled < -126.0 * 2.0**EXP_FRACTION:
        return np.float32(0.0)
    argument = np.int64(scaled)
    power = argument >> EXP_FRACTION
    y = look_up(table, argument & ((1 << EXP_FRACTION) - 1))
    return fl(math.ldexp(np.float64(y), int(power - EXP_TABLE_ONE)))


@kernel()
def distribution(x, table):
    """A function with f(-x) = 1 - f(x): its table covers `[0, bound)` and it is 1 from there on."""
    segments, step_bits, fraction, bound = table
    scaled = np.floor(abs(np.float64(x)) * 2.0**fraction + 0.5)
    if scaled >= bound * 2.0**fraction:
        y = np.int64(1 << TABLE_ONE)
    else:
        y = look_up((segments, step_bits), np.int64(scaled))
    if x < 0:
        y = (1 << TABLE_ONE) - y
    return fl(math.ldexp(np.float64(y), -TABLE_ONE))


@kernel()
def reciprocal(x, table):
    """1 / x, x > 0."""
    mantissa, exponent = math.frexp(np.float64(x))
    bits = np.int64((2.0 * mantissa - 1.0) * 2.0**23)
    y = look_up(table, bits)
    return fl(math.ldexp(np.float64(y), -(exponent - 1) - TABLE_ONE))


@kernel()
def reciprocal_root(x, table):
    """1 / sqrt(x), x >= 0."""
    if x == 0:
        return LARGEST
    mantissa, exponent = math.frexp(np.float64(x))
    mantissa, exponent = 2.0 * mantissa, exponent - 1
    if exponent & 1:
        mantissa, exponent = 2.0 * mantissa, exponent - 1
    y = look_up(table, np.int64((mantissa - 1.0) * 2.0**23))
    return fl(math.ldexp(np.float64(y), -(exponent >> 1) - TABLE_ONE))


@kernel()
def bf16_bits(x):
    """The 16 bits of a normal or zero fp32, rounded to nearest even, saturated."""
    single = np.empty(1, np.float32)
    single[0] = x
    bits = np.int64(single.view(np.uint32)[0])
    rounded = (bits + 0x7FFF + ((bits >> 16) & 1)) >> 16
    if (rounded & 0x7F80) == 0x7F80:
        rounded = (rounded & 0x8000) | 0x7F7F
    return rounded


@kernel()
def clean(bits):
    """fp32 bits as they enter from memory: +0 or normal."""
    exponent = (bits >> np.uint32(23)) & np.uint32(0xFF)
    if exponent == 0:
        return np.uint32(0)
    if exponent == 0xFF:
        return (bits & np.uint32(0x80000000)) | np.uint32(0x7F7FFFFF)
    return bits
