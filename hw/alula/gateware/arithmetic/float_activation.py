"""The functions that every lane has: exp, and what ACT looks up."""

from amaranth.hdl import Cat, Const, Module, Mux, Shape, Signal, signed
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from alula.gateware.arithmetic import float_table
from alula.gateware.arithmetic.float_convert import FIXED_LATENCY, FloatToFixed
from alula.gateware.arithmetic.float_format import BIAS
from alula.gateware.arithmetic.float_table import Interpolate, coefficients
from alula.gateware.arithmetic.leading_zeros import leading_zeros
from alula.isa.functions import EXP2, LOOKED_UP

__all__ = ["EXP", "LATENCY", "NUMBERS", "TABLES", "FloatActivation", "shape"]

TABLES = tuple(table.name for table in (*LOOKED_UP, EXP2))
LATENCY = FIXED_LATENCY + float_table.LATENCY + 2
"""Cycles from argument to result."""

_STEP = 10
_SEGMENT_BITS = 9


NUMBERS = {name: number for number, name in enumerate(TABLES)}
"""A function's number, by its table."""
EXP = NUMBERS[EXP2.name]
shape = Shape.cast(range(len(TABLES)))
"""Of a number."""


class FloatActivation(wiring.Component):
    """The `f` of one of `alula.isa.functions.FUNCTIONS`, or exp where `x` is already times log2(e).

    The function holds still while arguments are in the pipeline. The ROM is outside: two lanes
    share one.

    Members:
        valid (In): the argument is there.
        function (In): one of `NUMBERS`, or `EXP`.
        x (In): +0 or normal; not positive for `EXP`.
        rom_enable, rom_address (Out), rom_row (In): a port of a `TableRom` of `TABLES`.
        result_valid (Out): `valid`, `LATENCY` cycles later.
        result (Out): +0 or normal.
    """

    def __init__(self) -> None:
        self._row = coefficients(TABLES)
        super().__init__(
            {
                "valid": In(1),
                "function": In(shape),
                "x": In(32),
                "rom_enable": Out(1),
                "rom_address": Out(shape.width + _SEGMENT_BITS),
                "rom_row": In(self._row),
                "result_valid": Out(1),
                "result": Out(32),
            }
        )

    def elaborate(self, platform: object) -> Module:
        """To fixed point; interpolate; back to floating point."""
        m = Module()
        exp = Signal()
        m.d.comb += exp.eq(self.function == EXP)

        m.submodules.fixed = fixed = FloatToFixed(width=25)
        m.d.comb += [
            fixed.valid.eq(self.valid),
            fixed.x.eq(Cat(self.x[:31], self.x[31] & exp)),
        ]
        with m.Switch(self.function):
            for number, table in enumerate((*LOOKED_UP, EXP2)):
                with m.Case(number):
                    m.d.comb += fixed.fraction.eq(table.argument_bits)
        signs = Signal(FIXED_LATENCY)
        m.d.sync += signs.eq(Cat(self.x[31], signs[:-1]))

        argument = fixed.result
        power = Signal(signed(8))
        end = Signal()
        m.d.comb += [
            power.eq(argument[17:]),
            end.eq(Mux(exp, argument < -126 * 2**17, argument[19:].any())),
            self.rom_enable.eq(fixed.result_valid & ~end),
            self.rom_address.eq(
                Cat(argument[_STEP : _STEP + _SEGMENT_BITS] & Mux(exp, 0x7F, 0x1FF), self.function)
            ),
        ]

        # Beside the ROM and the interpolation: what becomes of the value.
        depth = float_table.LATENCY
        valids = Signal(depth)
        m.d.sync += valids.eq(Cat(fixed.result_valid, valids[:-1]))
        rest = [argument[:_STEP]]
        fate = [Cat(end, signs[-1], power)]
        for stage in range(depth):
            now = Signal.like(fate[-1], name=f"fate{stage}")
            with m.If(valids[stage - 1] if stage else fixed.result_valid):
                m.d.sync += now.eq(fate[-1])
                if stage < float_table.ROM_LATENCY:
                    place = Signal(_STEP, name=f"rest{stage}")
                    m.d.sync += place.eq(rest[-1])
                    rest.append(place)
            fate.append(now)

        m.submodules.interpolate = interpolate = Interpolate(row=self._row, width=25, step=_STEP)
        m.d.comb += [
            interpolate.valid.eq(valids[float_table.ROM_LATENCY - 1]),
            interpolate.row.eq(self.rom_row),
            interpolate.rest.eq(rest[-1]),
        ]

        # The exponent of a result whose bit 24 is set; 0 for a result of zero.
        at_end, negative, power_now = fate[-1][0], fate[-1][1], fate[-1][2:].as_signed()
        valid7, value7, exponent7 = Signal(), Signal(25), Signal(8)
        m.d.sync += [valid7.eq(valids[-1]), self.result_valid.eq(valid7)]
        y = Signal(25)
        m.d.comb += y.eq(Mux(at_end, 1 << 24, interpolate.result))
        with m.If(valids[-1]):
            with m.If(exp):
                m.d.sync += [
                    value7.eq(y),
                    exponent7.eq(Mux(at_end, 0, power_now + BIAS + 1)),
                ]
            with m.Else():
                m.d.sync += [value7.eq(Mux(negative, (1 << 24) - y, y)), exponent7.eq(BIAS)]

        zeros = leading_zeros(m, value7)
        normal = Signal(25)
        m.d.comb += normal.eq(value7 << zeros)
        with m.If(valid7):
            with m.If((exponent7 == 0) | ~normal[24]):
                m.d.sync += self.result.eq(0)
            with m.Else():
                m.d.sync += self.result.eq(Cat(normal[1:24], (exponent7 - zeros)[:8], Const(0, 1)))
        return m
