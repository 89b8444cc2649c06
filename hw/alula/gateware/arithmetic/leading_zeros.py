"""How far a number must move left for its top bit to be one."""

from __future__ import annotations

from amaranth.hdl import Cat, Const, Module, Mux, Signal, Value

__all__ = ["leading_zeros"]


def leading_zeros(m: Module, value: Value) -> Signal:
    """The number of zeros above the highest one of `value`; without meaning where there is none.

    A combinational tree of halves. The result has `(len(value) - 1).bit_length()` bits.
    """
    width = 1 << (len(value) - 1).bit_length()
    padded = Cat(Const(-1, width - len(value)), value) if width > len(value) else value
    zero = [~bit for bit in padded]
    count: list[Value] = [Const(0, 0) for _ in padded]
    while len(zero) > 1:
        pairs = range(0, len(zero), 2)
        count = [
            Cat(Mux(zero[i + 1], count[i], count[i + 1]), zero[i + 1])
            if len(count[i])
            else zero[i + 1]
            for i in pairs
        ]
        zero = [zero[i] & zero[i + 1] for i in pairs]
    result = Signal((len(value) - 1).bit_length())
    m.d.comb += result.eq(count[0])
    return result
