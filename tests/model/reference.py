"""The contract's arithmetic on exact fractions, slow and plain."""

import math
from collections.abc import Sequence
from fractions import Fraction

import numpy as np

from alula.isa import functions

TINY = Fraction(1, 2**126)
LARGEST = Fraction((2**24 - 1) * 2**104)
LOG2E = Fraction(float(np.float32(1 / math.log(2))))
HALF = Fraction(1, 2)
INVERSE_127 = Fraction(float(np.float32(1 / 127)))


def exponent(value: Fraction) -> int:
    """e with 2^e <= |value| < 2^(e + 1)."""
    e = abs(value.numerator).bit_length() - value.denominator.bit_length()
    return e if Fraction(2) ** e <= abs(value) else e - 1


def fl(value: Fraction, bits: int = 24) -> Fraction:
    """Rounded to fp32."""
    if abs(value) < TINY:
        return Fraction(0)
    quantum = Fraction(2) ** (exponent(value) - bits + 1)
    rounded = round(value / quantum) * quantum
    return max(min(rounded, LARGEST), -LARGEST)


def fractions(values: Sequence[float] | np.ndarray) -> list[Fraction]:
    """Exact values of floats."""
    return [Fraction(float(value)) for value in values]


def floats(values: Sequence[Fraction]) -> np.ndarray:
    """fp32 of values that are fp32 already."""
    result = np.array([float(value) for value in values], np.float32)
    assert fractions(result) == list(values)
    return result


def total(terms: Sequence[Fraction]) -> Fraction:
    """SUM."""
    partials = [Fraction(0)] * 64
    for index, term in enumerate(terms):
        partials[index % 64] = fl(partials[index % 64] + term)
    while len(partials) > 1:
        half = len(partials) // 2
        partials = [fl(partials[j] + partials[j + half]) for j in range(half)]
    return partials[0]


def exp(x: Fraction) -> Fraction:
    t = fl(x * LOG2E)
    u = math.floor(t * 2**17 + HALF)
    if u < -126 * 2**17:
        return Fraction(0)
    return fl(functions.EXP2(u % 2**17) * Fraction(2) ** (u // 2**17 - 23))


def _distribution(table: functions.Table, one: int, bound: int, x: Fraction) -> Fraction:
    u = math.floor(abs(x) * one + HALF)
    y = 2**24 if u >= bound * one else table(u)
    return Fraction(2**24 - y if x < 0 else y, 2**24)


def sigmoid(x: Fraction) -> Fraction:
    return _distribution(functions.SIGMOID, 2**15, 16, x)


def phi(x: Fraction) -> Fraction:
    return _distribution(functions.PHI, 2**16, 8, x)


def phi_tanh(x: Fraction) -> Fraction:
    return _distribution(functions.PHI_TANH, 2**16, 8, x)


def recip(x: Fraction) -> Fraction:
    e = exponent(x)
    bits = (x / Fraction(2) ** e - 1) * 2**23
    assert bits.denominator == 1
    return fl(functions.RECIP(int(bits)) * Fraction(2) ** (-e - 24))


def rsqrt(x: Fraction) -> Fraction:
    if x == 0:
        return LARGEST
    e = exponent(x) // 2
    bits = (x / Fraction(4) ** e - 1) * 2**23
    assert bits.denominator == 1
    return fl(functions.RSQRT(int(bits)) * Fraction(2) ** (-e - 24))


def rmsnorm(
    x: list[Fraction], gain: list[Fraction], inv: Fraction, eps: Fraction
) -> list[Fraction]:
    r = rsqrt(fl(fl(total([fl(v * v) for v in x]) * inv) + eps))
    return [fl(fl(v * r) * g) for v, g in zip(x, gain, strict=True)]


def layernorm(
    x: list[Fraction], gain: list[Fraction], bias: list[Fraction], inv: Fraction, eps: Fraction
) -> list[Fraction]:
    mean = fl(total(x) * inv)
    d = [fl(v - mean) for v in x]
    r = rsqrt(fl(fl(total([fl(v * v) for v in d]) * inv) + eps))
    return [fl(fl(fl(v * r) * g) + b) for v, g, b in zip(d, gain, bias, strict=True)]


def softmax(x: list[Fraction], scales: list[Fraction]) -> list[Fraction]:
    top = max(x)
    e = [exp(fl(v - top)) for v in x]
    r = recip(total(e))
    return [fl(fl(v * r) * s) for v, s in zip(e, scales, strict=True)]


ACTIVATIONS = {
    "silu": lambda a: fl(a * sigmoid(a)),
    "gelu": lambda a: fl(a * phi(a)),
    "gelu_tanh": lambda a: fl(a * phi_tanh(a)),
    "relu": lambda a: max(a, Fraction(0)),
}


def quantise(x: list[Fraction]) -> tuple[int, list[int], list[int]]:
    """QUANT: exponent, scales, values (a whole number of groups)."""
    groups = [x[start : start + 32] for start in range(0, len(x), 32)]
    groups[-1] = groups[-1] + [Fraction(0)] * (32 - len(groups[-1]))
    steps = [fl(max(map(abs, group)) * INVERSE_127) for group in groups]
    power = exponent(max(steps)) - 7 if max(steps) else 0
    unit = Fraction(2) ** power
    scales = [max(1, min(255, math.ceil(step / unit))) for step in steps]
    values = [
        max(-127, min(127, round(fl(v * Fraction(float(np.float32(1 / scale)))) / unit)))
        for group, scale in zip(groups, scales, strict=True)
        for v in group
    ]
    return power, scales, values


def quantise_kv(x: list[Fraction]) -> tuple[Fraction, list[int]]:
    """QUANTKV: scale and values."""
    scale = fl(max(map(abs, x)) * INVERSE_127)
    scale = fl(scale, bits=8)
    if not scale:
        return scale, [0] * len(x)
    r = recip(scale)
    return scale, [max(-127, min(127, round(fl(v * r)))) for v in x]
