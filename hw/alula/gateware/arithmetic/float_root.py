"""1/x and 1/sqrt(x)."""

from amaranth.hdl import Cat, Const, Module, Mux, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from alula.gateware.arithmetic import float_table
from alula.gateware.arithmetic.float_format import BIAS
from alula.gateware.arithmetic.float_table import Interpolate, TableRom, coefficients, offsets
from alula.gateware.hdl.delay import delayed
from alula.isa.functions import RECIP, RSQRT

LATENCY = 1 + float_table.LATENCY + 1
"""Cycles from argument to result."""

_TABLES = ("RSQRT", "RECIP")
_STEP = max(RECIP.step_bits, RSQRT.step_bits)


class FloatRoot(wiring.Component):
    """`recip(x)` or `rsqrt(x)`, a result each cycle.

    Members:
        valid (In): the argument is there.
        root (In): 1: rsqrt.
        x (In): normal and positive; rsqrt also takes +0.
        result_valid (Out): `valid`, `LATENCY` cycles later.
        result (Out): +0 or normal.
    """

    valid: In(1)
    root: In(1)
    x: In(32)
    result_valid: Out(1)
    result: Out(32)

    def elaborate(self, platform: object) -> Module:
        """Argument; interpolate; exponent."""
        m = Module()
        m.submodules.rom = rom = TableRom(tables=_TABLES)
        m.submodules.interpolate = interpolate = Interpolate(
            row=coefficients(_TABLES), width=25, step=_STEP
        )

        mantissa, exponent = self.x[:23], self.x[23:31]
        # rsqrt: x = m * 2**(2e), m in 1..4. The bias is odd.
        odd = ~exponent[0]
        root_argument = Signal(25)
        m.d.comb += root_argument.eq(Mux(odd, Cat(Const(0, 1), mantissa) + (1 << 23), mantissa))
        starts = offsets(_TABLES)
        valid1, address1, rest1 = Signal(), Signal(len(rom.address[0])), Signal(_STEP)
        # The exponent of a result whose bit 24 is set, from 0 on; it is never too large.
        exponent1 = Signal(8)
        zero1 = Signal()
        half = (exponent - BIAS - odd) >> 1
        m.d.sync += valid1.eq(self.valid)
        with m.If(self.valid):
            m.d.sync += zero1.eq(self.root & ~exponent.any())
            with m.If(self.root):
                m.d.sync += [
                    address1.eq(starts["RSQRT"] + root_argument[RSQRT.step_bits :]),
                    rest1.eq(root_argument[: RSQRT.step_bits]),
                    exponent1.eq(Mux(exponent.any(), BIAS - half, 255)),
                ]
            with m.Else():
                m.d.sync += [
                    address1.eq(starts["RECIP"] + mantissa[RECIP.step_bits :]),
                    rest1.eq(Cat(Const(0, _STEP - RECIP.step_bits), mantissa[: RECIP.step_bits])),
                    exponent1.eq(2 * BIAS - exponent),
                ]
        m.d.comb += [rom.enable[0].eq(valid1), rom.address[0].eq(address1)]

        valid = delayed(m, valid1, float_table.LATENCY, name="valid")
        fate, rest = (
            delayed(m, value, float_table.LATENCY, name=name, reset_less=True)
            for name, value in (("fate", Cat(zero1, exponent1)), ("rest", rest1))
        )
        m.d.comb += [
            interpolate.valid.eq(valid[float_table.ROM_LATENCY]),
            interpolate.row.eq(rom.row[0]),
            interpolate.rest.eq(rest[float_table.ROM_LATENCY]),
        ]

        y = interpolate.result
        zero, last = fate[-1][0], fate[-1][1:]
        # The exponent moves by 0, -1 or -2 as the highest one is the first bit, the second or the
        # third; that of zero, 255, by -1.
        first, second = y[24], y[23]
        digits = Mux(first, y[1:24], Mux(second, y[:23], Cat(Const(0, 1), y[:22])))
        change = Cat(~first & second | zero, (~first | zero).replicate(7))
        small = ~last[2:].any() & (last[:2] < Mux(first, 1, Mux(second, 2, 3)))
        m.d.sync += self.result_valid.eq(valid[-1])
        result = Signal(31, reset_less=True)
        m.d.comb += self.result.eq(result)
        with m.If(valid[-1]):
            m.d.sync += result.eq(Cat(digits | zero.replicate(23), (last + change)[:8]))
            with m.If(small):
                m.d.sync += result.eq(0)
        return m
