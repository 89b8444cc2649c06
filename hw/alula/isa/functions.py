"""The SFU's functions of one variable, as tables for linear interpolation in integers.

A table covers `[low, high)` with equal segments. For a fixed-point argument `u` in
`[0, segments << step_bits)`: `i = u >> step_bits`, `r = u & ((1 << step_bits) - 1)` and
`y = c0[i] + ((c1[i] * r) >> step_bits)`, `y` having `fraction_bits` fraction bits. The
coefficients are chosen so that the interpolation error is centred: half of the segment's bow is
added to `c0`.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property


@dataclass(frozen=True)
class Table:
    """A function as integer coefficients; see the module for how it is evaluated.

    `error`: how far from the function it is, at most. `least`: `c0` never falls below it.
    """

    name: str
    function: Callable[[float], float]
    low: float
    high: float
    segments: int
    step_bits: int
    fraction_bits: int
    error: float
    least: int = 0

    @property
    def argument_bits(self) -> int:
        """Fraction bits of a fixed-point argument that counts from `low`.

        ValueError if no number of bits fits: a segment must be a power of two wide.
        """
        mantissa, exponent = math.frexp(self.segments / (self.high - self.low))
        if mantissa != 0.5:
            raise ValueError(
                f"{self.name} must have segments of a power of two, "
                f"not {self.segments} from {self.low:g} to {self.high:g}"
            )
        return self.step_bits + exponent - 1

    @cached_property
    def coefficients(self) -> tuple[tuple[int, ...], tuple[int, ...]]:
        """`(c0, c1)`, one pair of integers a segment; c1 is the rise over the segment, signed."""
        width = (self.high - self.low) / self.segments
        one = 1 << self.fraction_bits
        c0, c1 = [], []
        for index in range(self.segments):
            left = self.low + index * width
            start, middle, end = (self.function(left + part * width) for part in (0.0, 0.5, 1.0))
            bow = (middle - (start + end) / 2) / 2
            c0.append(max(round((start + bow) * one), self.least))
            c1.append(round((end - start) * one))
        return tuple(c0), tuple(c1)

    def __call__(self, u: int) -> int:
        """The interpolated value at the fixed-point argument `u`."""
        c0, c1 = self.coefficients
        index, rest = u >> self.step_bits, u & (1 << self.step_bits) - 1
        return c0[index] + (c1[index] * rest >> self.step_bits)


def _phi(x: float) -> float:
    return 0.5 * (1 + math.erf(x / math.sqrt(2)))


def _phi_tanh(x: float) -> float:
    return 0.5 * (1 + math.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3)))


EXP2 = Table("EXP2", lambda x: 2.0**x, 0.0, 1.0, 128, 10, 23, 3.8e-6, least=1 << 23)
"""2^f; argument 17 fraction bits, result 1..2 with 23: a normal number's significand, 2^0 exact."""
SIGMOID = Table("SIGMOID", lambda x: 1 / (1 + math.exp(-x)), 0.0, 16.0, 512, 10, 24, 6.0e-6)
"""Logistic function of a non-negative argument with 15 fraction bits."""
PHI = Table("PHI", _phi, 0.0, 8.0, 512, 10, 24, 3.8e-6)
"""Normal distribution function of a non-negative argument with 16 fraction bits."""
PHI_TANH = Table("PHI_TANH", _phi_tanh, 0.0, 8.0, 512, 10, 24, 3.8e-6)
"""Its tanh approximation, as in GPT-2."""
RECIP = Table("RECIP", lambda x: 1 / x, 1.0, 2.0, 256, 15, 24, 2.0e-6)
"""1/m; argument the 23 mantissa bits of m in 1..2, result with 24 fraction bits."""
RSQRT = Table("RSQRT", lambda x: 1 / math.sqrt(x), 1.0, 4.0, 384, 16, 24, 2.9e-6)
"""1/sqrt(m); argument (m - 1) with 23 fraction bits, m in 1..4, result with 24."""

TABLES = (EXP2, SIGMOID, PHI, PHI_TANH, RECIP, RSQRT)


@dataclass(frozen=True)
class Function:
    """A function of ACT: `x * f(x)`, or `max(x, 0)` where there is no `f`.

    `table` is of `f` for arguments from 0 on; `f(-x) = 1 - f(x)`, and `f` is 1 from the table's
    end on.
    """

    name: str
    table: Table | None

    def __call__(self, x: float) -> float:
        """The function itself, in floating point."""
        if self.table is None:
            return max(x, 0.0)
        return x * self.table.function(x)


FUNCTIONS = {
    function.name: function
    for function in (
        Function("silu", SIGMOID),
        Function("gelu", PHI),
        Function("gelu_tanh", PHI_TANH),
        Function("relu", None),
    )
}
"""By name, in the order of their codes. A new one comes at the end."""


@dataclass(frozen=True)
class SoftCap:
    """The function of SOFTCAP: `cap * tanh(x / cap)`.

    It is computed as `2 cap * (f(2 x / cap) - 1/2)` with the logistic function `f` of `table`,
    which gives `tanh` for free: odd, as `f(-x) = 1 - f(x)`, and `cap` from the table's end on.
    `error`: how far it is from the function, at most, by `cap`.
    """

    table: Table
    error: float

    def __call__(self, x: float, cap: float) -> float:
        """The function itself, in floating point."""
        return cap * math.tanh(x / cap)


SOFTCAP = SoftCap(SIGMOID, 1.8e-5)
LOOKED_UP = tuple(dict.fromkeys(one.table for one in FUNCTIONS.values() if one.table is not None))
"""The tables of ACT, in the order in which the lanes keep them."""
