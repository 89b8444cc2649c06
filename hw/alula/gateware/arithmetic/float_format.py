"""fp32 as the contract has it, in bits: +0 or a normal number."""

from amaranth.hdl import Cat, Const, Mux, Value

BIAS = 127
LARGEST = 0x7F7F_FFFF
"""The largest finite number."""
ONE = 0x3F80_0000
LOG2E = 0x3FB8_AA3B
"""log2(e), to the nearest fp32."""
ONE_127TH = 0x3C01_0204
"""1/127, to the nearest fp32."""


def significand(bits: Value) -> Value:
    """The 24 bits of the significand: 0 for zero, all of whose bits are."""
    return Cat(bits[:23], bits[23:31].any())


def clean(bits: Value) -> Value:
    """fp32 bits as they enter from memory: exponent 0 is +0, 255 the largest finite number."""
    exponent = bits[23:31]
    saturated = Mux(exponent.all(), Const(LARGEST, 31), bits[:31])
    return Mux(exponent.any(), Cat(saturated, bits[31]), Const(0, 32))


_LARGEST_BF16 = 0x7F7F


def rounds_up(bits: Value) -> Value:
    """Whether the nearest bf16 is the one above in magnitude; ties to even."""
    return bits[15] & (bits[:15].any() | bits[16])


def to_bf16(bits: Value, up: Value) -> Value:
    """The 16 bits of the nearest bf16, saturated to the largest finite; `up` as `rounds_up`."""
    magnitude = bits[16:31]
    largest = magnitude == _LARGEST_BF16
    return Cat(Mux(largest, magnitude, (magnitude + up)[:15]), bits[31])


def widen(half: Value) -> Value:
    """A bf16 as fp32."""
    return Cat(Const(0, 16), half)
