"""docs/reference/numerics.md in exact fractions, one number at a time."""

import math
from fractions import Fraction

import numpy as np

from alula.isa.functions import EXP2, PHI, PHI_TANH, RECIP, RSQRT, SIGMOID

SMALLEST = Fraction(2) ** -126
LARGEST = Fraction((2**24 - 1) * 2**104)


def exponent(value: Fraction) -> int:
    """floor(log2(abs(value)))."""
    guess = abs(value).numerator.bit_length() - abs(value).denominator.bit_length()
    return guess if abs(value) >= Fraction(2) ** guess else guess - 1


def fl(value: Fraction | float) -> Fraction:
    value = Fraction(value)
    if abs(value) < SMALLEST:
        return Fraction(0)
    unit = Fraction(2) ** (exponent(value) - 23)
    return max(-LARGEST, min(LARGEST, round(value / unit) * unit))


def bf16(value: Fraction) -> Fraction:
    if value == 0:
        return value
    unit = Fraction(2) ** (exponent(value) - 7)
    return round(value / unit) * unit


def total(terms: list[Fraction]) -> Fraction:
    partial = [Fraction(0)] * 64
    for index, term in enumerate(terms):
        partial[index % 64] = fl(partial[index % 64] + term)
    for half in (32, 16, 8, 4, 2, 1):
        partial = [fl(partial[j] + partial[j + half]) for j in range(half)]
    return partial[0]


def exp(x: Fraction) -> Fraction:
    t = fl(x * fl(math.log2(math.e)))
    u = math.floor(t * 2**17 + Fraction(1, 2))
    if u < -126 * 2**17:
        return Fraction(0)
    return fl(EXP2(u & 2**17 - 1) * Fraction(2) ** ((u >> 17) - 23))


def _distribution(table, bits, bound, x):
    u = math.floor(abs(x) * 2**bits + Fraction(1, 2))
    y = 2**24 if u >= bound << bits else table(u)
    return Fraction(2**24 - y if x < 0 else y, 2**24)


def sigmoid(x: Fraction) -> Fraction:
    return _distribution(SIGMOID, 15, 16, x)


def phi(x: Fraction) -> Fraction:
    return _distribution(PHI, 16, 8, x)


def phi_tanh(x: Fraction) -> Fraction:
    return _distribution(PHI_TANH, 16, 8, x)


def recip(x: Fraction) -> Fraction:
    e = exponent(x)
    return fl(RECIP(int((x / Fraction(2) ** e - 1) * 2**23)) * Fraction(2) ** (-e - 24))


def rsqrt(x: Fraction) -> Fraction:
    if x == 0:
        return LARGEST
    e = exponent(x) // 2
    return fl(RSQRT(int((x / Fraction(4) ** e - 1) * 2**23)) * Fraction(2) ** (-e - 24))


def clamp(value: int) -> int:
    return max(-127, min(127, value))


def quantize_row(x: list[Fraction]) -> tuple[int, list[int], list[int]]:
    """QUANT: E, u of each group, q."""
    groups = [x[first : first + 32] for first in range(0, len(x), 32)]
    steps = [fl(max(map(abs, group)) * fl(Fraction(1, 127))) for group in groups]
    e = exponent(max(steps)) - 7 if max(steps) else 0
    scales = [max(1, min(255, math.ceil(step * Fraction(2) ** -e))) for step in steps]
    q = [
        clamp(round(fl(value * fl(Fraction(1, scale))) * Fraction(2) ** -e))
        for group, scale in zip(groups, scales, strict=True)
        for value in group
    ]
    return e, scales, q


def quantize_kv(x: list[Fraction]) -> tuple[Fraction, list[int]]:
    c = bf16(fl(max(map(abs, x)) * fl(Fraction(1, 127))))
    if not c:
        return c, [0] * len(x)
    return c, [clamp(round(fl(value * recip(c)))) for value in x]


def fractions(values) -> list[Fraction]:
    return [Fraction(float(value)) for value in np.asarray(values, dtype=np.float64).ravel()]
