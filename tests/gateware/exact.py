"""fp32 as the contract has it, from Python integers and fractions alone."""

from collections.abc import Iterator
from fractions import Fraction
from random import Random

from alula.isa.functions import EXP2, RECIP, RSQRT, Table

LARGEST = 0x7F7FFFFF
LOG2E = 0x3FB8AA3B
ONE_127TH = 0x3C010204


def value(bits: int) -> Fraction:
    """What fp32 bits are worth."""
    exponent = bits >> 23 & 0xFF
    if exponent == 0:
        return Fraction(0)
    magnitude = Fraction((1 << 23) + (bits & 0x7FFFFF)) * Fraction(2) ** (exponent - 150)
    return -magnitude if bits >> 31 else magnitude


def floor_log2(x: Fraction) -> int:
    """The largest e with 2**e <= x."""
    e = x.numerator.bit_length() - x.denominator.bit_length()
    return e if Fraction(2) ** e <= x else e - 1


def fl(x: Fraction | int) -> int:
    """The bits of x rounded to nearest even, flushed and saturated."""
    magnitude = abs(Fraction(x))
    sign = (x < 0) << 31
    if magnitude < Fraction(2) ** -126:
        return 0
    e = floor_log2(magnitude)
    mantissa = round(magnitude * Fraction(2) ** (23 - e))
    if mantissa == 1 << 24:
        mantissa, e = 1 << 23, e + 1
    return sign | (LARGEST if e > 127 else (e + 127) << 23 | mantissa - (1 << 23))


def add(a: int, b: int) -> int:
    return fl(value(a) + value(b))


def multiply(a: int, b: int) -> int:
    return fl(value(a) * value(b))


def clean(bits: int) -> int:
    exponent = bits >> 23 & 0xFF
    if exponent == 0:
        return 0
    return bits & 1 << 31 | LARGEST if exponent == 255 else bits


def bf16(bits: int) -> int:
    """The 16 bits of the nearest bf16."""
    x = value(bits)
    if x == 0:
        return 0
    e = floor_log2(abs(x))
    mantissa = round(abs(x) * Fraction(2) ** (7 - e))
    if mantissa == 256:
        mantissa, e = 128, e + 1
    return (x < 0) << 15 | (0x7F7F if e > 127 else (e + 127) << 7 | mantissa - 128)


def fixed(bits: int, fraction: int, width: int) -> int:
    top = (1 << width - 1) - 1
    return min(max((value(bits) * 2**fraction + Fraction(1, 2)).__floor__(), -top - 1), top)


def int8(bits: int, exponent: int) -> int:
    return min(max(round(value(bits) * Fraction(2) ** -exponent), -127), 127)


def exponential_of_product(t: int) -> int:
    """exp of what is `t` times log2(e)."""
    u = (value(t) * 2**17 + Fraction(1, 2)).__floor__()
    if u < -126 * 2**17:
        return 0
    return fl(EXP2(u & 2**17 - 1) * Fraction(2) ** ((u >> 17) - 23))


ARGUMENTS = {"SIGMOID": (15, 16), "PHI": (16, 8), "PHI_TANH": (16, 8)}
"""Fraction bits of a table's argument, and where the table ends (docs/reference/numerics.md)."""


def distribution(x: int, table: Table) -> int:
    fraction, bound = ARGUMENTS[table.name]
    u = (abs(value(x)) * 2**fraction + Fraction(1, 2)).__floor__()
    y = 1 << 24 if u >= bound << fraction else table(u)
    if value(x) < 0:
        y = (1 << 24) - y
    return fl(Fraction(y, 1 << 24))


def reciprocal(x: int) -> int:
    return fl(RECIP(x & 0x7FFFFF) * Fraction(2) ** (127 - (x >> 23) - 24))


def reciprocal_root(x: int) -> int:
    if x == 0:
        return LARGEST
    e = floor_log2(value(x)) // 2
    m = value(x) / Fraction(4) ** e
    return fl(RSQRT(int((m - 1) * 2**23)) * Fraction(2) ** (-e - 24))


EDGES = [
    0, 0x00800000, 0x00800001, 0x00FFFFFF, 0x01000000, LARGEST, LARGEST - 1,
    0x7F000000, 0x3F800000, 0x3F800001, 0x3F7FFFFF, 0x3FFFFFFF, 0x40000000, 0x4B000000,
    0x4B7FFFFF, 0x33800000, 0x33800001, 0x34000000, 0x33FFFFFF, 0x3F000000, 0x3EFFFFFF,
    0x20000000, 0x1FFFFFFF, 0x1F800000, 0x5F800000, 0x5FFFFFFF, 0x43000000, 0x42FE0000,
    0x42FF0000,
]  # fmt: skip


def signed(edges: list[int]) -> list[int]:
    return edges + [bits | 1 << 31 for bits in edges if bits]


def number(random: Random, low: int = 1, high: int = 254) -> int:
    """A number with an exponent in low..high; short and long runs of mantissa bits are common."""
    mantissa = random.choice(
        (
            random.getrandbits(23),
            random.getrandbits(23),
            (1 << random.randrange(24)) - 1,
            (0x7FFFFF << random.randrange(24)) & 0x7FFFFF,
            1 << random.randrange(23),
            random.getrandbits(12) << 11,
        )
    )
    return random.getrandbits(1) << 31 | random.randint(low, high) << 23 | mantissa


def numbers(random: Random, count: int) -> Iterator[int]:
    yield from signed(EDGES)
    for _ in range(count):
        yield number(random)


def pairs(random: Random, count: int) -> Iterator[tuple[int, int]]:
    """Edges by edges, every distance of exponents, cancellation, products near both ends."""
    for a in signed(EDGES):
        for b in signed(EDGES):
            yield a, b
    for distance in range(254):
        for _ in range(4):
            e = random.randint(1, 254 - distance)
            a, b = number(random, e, e), number(random, e + distance, e + distance)
            yield random.choice(((a, b), (b, a)))
    for index in range(count):
        a = number(random)
        kind = index % 5
        if kind == 0:
            yield a, number(random)
        elif kind == 1:  # nearly cancels
            yield a, clean((a ^ 1 << 31) + random.randint(-3, 3) & 0xFFFFFFFF)
        elif kind == 2:  # close exponents
            e = min(max((a >> 23 & 0xFF) + random.randint(-26, 26), 1), 254)
            yield a, number(random, e, e)
        elif kind == 3:  # product near 2^-126
            e = min(max(128 - (a >> 23 & 0xFF) + random.randint(-2, 2), 1), 254)
            yield a, number(random, e, e)
        else:  # product near 2^128
            e = min(max(381 - (a >> 23 & 0xFF) + random.randint(-2, 2), 1), 254)
            yield a, number(random, e, e)
