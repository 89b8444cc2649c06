"""fp32 addition."""

from amaranth.hdl import Cat, Const, Module, Mux, Signal, signed
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from alula.gateware.arithmetic.float_format import pack, significand
from alula.gateware.arithmetic.leading_zeros import leading_zeros
from alula.gateware.arithmetic.shift import shift_right

__all__ = ["LATENCY", "FloatAdd"]

LATENCY = 4
"""Cycles from operands to result; SUM of 16 lanes never waits because it is not more."""


class FloatAdd(wiring.Component):
    """`fl(a + b)` or `fl(a - b)`, a result each cycle.

    Stages: swap by magnitude; align and add; normalise; round. A stage holds still while it has
    nothing valid.

    Members:
        valid (In): the operands are there.
        a, b (In): operands, +0 or normal.
        subtract (In): 1: a - b.
        result_valid (Out): `valid`, `LATENCY` cycles later.
        result (Out): +0 or normal.
    """

    valid: In(1)
    a: In(32)
    b: In(32)
    subtract: In(1)
    result_valid: Out(1)
    result: Out(32)

    def elaborate(self, platform: object) -> Module:
        """One pipeline of `LATENCY` stages."""
        m = Module()
        v1, v2, v3 = Signal(), Signal(), Signal()
        m.d.sync += [v1.eq(self.valid), v2.eq(v1), v3.eq(v2), self.result_valid.eq(v3)]

        b_sign = self.b[31] ^ self.subtract
        swap = Signal()
        m.d.comb += swap.eq(self.a[:31] < self.b[:31])
        big, small = Signal(31), Signal(31)
        distance = Signal(8)
        m.d.comb += [
            big.eq(Mux(swap, self.b[:31], self.a[:31])),
            small.eq(Mux(swap, self.a[:31], self.b[:31])),
            distance.eq(big[23:31] - small[23:31]),
        ]
        sign1, differ1 = Signal(), Signal()
        exponent1, shift1 = Signal(8), Signal(5)
        big1, small1 = Signal(24), Signal(24)
        with m.If(self.valid):
            m.d.sync += [
                sign1.eq(Mux(swap, b_sign, self.a[31])),
                differ1.eq(self.a[31] ^ b_sign),
                exponent1.eq(big[23:31]),
                shift1.eq(distance[:5] | distance[5:].any().replicate(5)),
                big1.eq(significand(big)),
                small1.eq(significand(small)),
            ]

        # Two guard bits and one that stands for everything below.
        aligned, lost = shift_right(m, Cat(Const(0, 3), small1), shift1)
        addend = Cat(aligned[0] | lost, aligned[1:], Const(0, 1))
        base = Cat(Const(0, 3), big1)
        sign2, exponent2, sum2 = Signal(), Signal(8), Signal(28)
        with m.If(v1):
            m.d.sync += [
                sign2.eq(sign1),
                exponent2.eq(exponent1),
                sum2.eq(base + (addend ^ differ1.replicate(28)) + differ1),
            ]

        zeros = leading_zeros(m, sum2)
        sign3, exponent3, sum3 = Signal(), Signal(signed(10)), Signal(28)
        with m.If(v2):
            m.d.sync += [
                sign3.eq(sign2),
                exponent3.eq(Mux(sum2.any(), exponent2 + 1 - zeros, 0)),
                sum3.eq(sum2 << zeros),
            ]

        with m.If(v3):
            m.d.sync += self.result.eq(pack(sign3, exponent3, sum3))
        return m
