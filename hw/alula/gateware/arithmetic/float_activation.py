"""The functions that every lane has: exp, and what ACT looks up."""

from amaranth.hdl import Cat, Const, Module, Mux, Shape, Signal, Value
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from alula.gateware.arithmetic import float_table
from alula.gateware.arithmetic.float_convert import FIXED_LATENCY, UNMOVED, FloatToFixed
from alula.gateware.arithmetic.float_format import BIAS
from alula.gateware.arithmetic.float_table import Interpolate, coefficients
from alula.gateware.arithmetic.normalise import normalise
from alula.isa.functions import EXP2, LOOKED_UP

TABLES = tuple(table.name for table in (*LOOKED_UP, EXP2))
LATENCY = FIXED_LATENCY + float_table.LATENCY + 3
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
        """To fixed point; interpolate; negate; normalise; back to floating point."""
        m = Module()
        # The function as arguments see it that have left the first stage.
        function, exp = Signal.like(self.function), Signal()
        m.d.sync += function.eq(self.function)
        m.d.comb += exp.eq(function == EXP)

        m.submodules.fixed = fixed = FloatToFixed()
        m.d.comb += [
            fixed.valid.eq(self.valid),
            fixed.x.eq(Cat(self.x[:31], self.x[31] & (self.function == EXP))),
        ]
        with m.Switch(self.function):
            for number, table in enumerate((*LOOKED_UP, EXP2)):
                with m.Case(number):
                    m.d.comb += fixed.unmoved.eq(UNMOVED - table.argument_bits)
        signs = Signal(FIXED_LATENCY)
        m.d.sync += signs.eq(Cat(self.x[31], signs[:-1]))

        argument = fixed.result
        power = argument[17:]
        end = Signal()
        m.d.comb += [
            end.eq(Mux(exp, power[-1] & ~power[1:-1].any(), argument[19:].any())),
            self.rom_enable.eq(fixed.result_valid & ~end),
            self.rom_address.eq(
                Cat(argument[_STEP : _STEP + _SEGMENT_BITS] & Mux(exp, 0x7F, 0x1FF), function)
            ),
        ]

        # Beside the ROM and the interpolation: what becomes of the value.
        depth = float_table.LATENCY
        valids = Signal(depth + 2)
        m.d.sync += Cat(valids, self.result_valid).eq(Cat(fixed.result_valid, valids))
        rest = [argument[:_STEP]]
        fate = [Cat(end, signs[-1] & ~exp, power)]
        for stage in range(depth):
            now = Signal.like(fate[-1], name=f"fate{stage}", reset_less=True)
            with m.If(valids[stage - 1] if stage else fixed.result_valid):
                m.d.sync += now.eq(fate[-1])
                if stage < float_table.ROM_LATENCY:
                    place = Signal(_STEP, name=f"rest{stage}", reset_less=True)
                    m.d.sync += place.eq(rest[-1])
                    rest.append(place)
            fate.append(now)

        m.submodules.interpolate = interpolate = Interpolate(row=self._row, width=25, step=_STEP)
        m.d.comb += [
            interpolate.valid.eq(valids[float_table.ROM_LATENCY - 1]),
            interpolate.row.eq(self.rom_row),
            interpolate.rest.eq(rest[-1]),
        ]
        self._finish(m, interpolate.result, fate[-1], exp, valids[depth - 1 :])
        return m

    def _finish(self, m: Module, y: Value, fate: Value, exp: Value, valids: Value) -> None:
        """The value or what it lacks of one, and its exponent; as fp32.

        `1 - y` is `~y + 1`, and one again.
        """
        end, negative, power = fate[0], fate[1], fate[2:]
        value, exponent = Signal(25, reset_less=True), Signal(8, reset_less=True)
        none = Signal(reset_less=True)
        chosen = Mux(end, 1 << 24, y) ^ negative.replicate(25)
        with m.If(valids[0]):
            # Two more than the exponent of a value whose second bit is the highest one.
            m.d.sync += [
                value.eq((Cat(negative, chosen) + Cat(negative, Const(0, 24), negative))[1:]),
                exponent.eq(Mux(exp, power, 0) + Mux(exp, BIAS + 2, BIAS + 1)),
                none.eq(end & exp),
            ]
        moved, moves = normalise(m, value, 8, 2)
        wide, moved_by = Signal(25, reset_less=True), Signal(4, reset_less=True)
        exponent_now, none_now = Signal(8, reset_less=True), Signal(reset_less=True)
        with m.If(valids[1]):
            m.d.sync += [
                wide.eq(moved),
                moved_by.eq(moves),
                exponent_now.eq(exponent),
                none_now.eq(none),
            ]
        top = wide[-1]
        # By -2 * moved_by - 2, and one more for the top bit; modulo 256.
        change = Cat(top, ~moved_by, Const(0b111, 3))
        result = Signal(31, reset_less=True)
        m.d.comb += self.result.eq(result)
        with m.If(valids[2]):
            m.d.sync += result.eq(Cat(Mux(top, wide[1:24], wide[:23]), (exponent_now + change)[:8]))
            with m.If(none_now | ~wide[-2:].any()):
                m.d.sync += result.eq(0)
