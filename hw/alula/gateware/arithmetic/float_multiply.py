"""fp32 multiplication."""

from amaranth.hdl import Cat, Const, Module, Mux, Signal, signed
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from alula.gateware.arithmetic.float_format import BIAS, pack, significand

__all__ = ["LATENCY", "FloatMultiply"]

LATENCY = 4
"""Cycles from operands to result."""


class FloatMultiply(wiring.Component):
    """`fl(a * b)`, a result each cycle.

    Stages: operands; product; product again (the two registers behind a multiplier that a DSP
    absorbs); normalise and round. A stage holds still while it has nothing valid. The 24 by 24
    bits take two DSP48E2.

    Members:
        valid (In): the operands are there.
        a, b (In): operands, +0 or normal.
        result_valid (Out): `valid`, `LATENCY` cycles later.
        result (Out): +0 or normal.
    """

    valid: In(1)
    a: In(32)
    b: In(32)
    result_valid: Out(1)
    result: Out(32)

    def elaborate(self, platform: object) -> Module:
        """One pipeline of `LATENCY` stages."""
        m = Module()
        v1, v2, v3 = Signal(), Signal(), Signal()
        m.d.sync += [v1.eq(self.valid), v2.eq(v1), v3.eq(v2), self.result_valid.eq(v3)]

        a1, b1 = Signal(24), Signal(24)
        sign1, exponent1 = Signal(), Signal(signed(10))
        with m.If(self.valid):
            m.d.sync += [
                a1.eq(significand(self.a)),
                b1.eq(significand(self.b)),
                sign1.eq(self.a[31] ^ self.b[31]),
                exponent1.eq(self.a[23:31] + self.b[23:31] - BIAS),
            ]

        sign2, exponent2, product2 = Signal(), Signal(signed(10)), Signal(48)
        with m.If(v1):
            m.d.sync += [
                product2.eq(a1 * b1),
                sign2.eq(sign1),
                exponent2.eq(exponent1),
            ]

        sign3, exponent3, product3 = Signal(), Signal(signed(10)), Signal(48)
        with m.If(v2):
            m.d.sync += [
                product3.eq(product2),
                sign3.eq(sign2),
                exponent3.eq(exponent2),
            ]

        carry = product3[47]
        nonzero = product3[46] | carry
        exponent, wide = Signal(signed(11)), Signal(48)
        m.d.comb += [
            exponent.eq(Mux(nonzero, exponent3 + carry, 0)),
            wide.eq(Mux(carry, product3, Cat(Const(0, 1), product3[:47]))),
        ]
        with m.If(v3):
            m.d.sync += self.result.eq(pack(sign3, exponent, wide))
        return m
