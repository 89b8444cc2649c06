"""One lane of the SFU: two multipliers, an adder, the functions, and how they are joined."""

from amaranth.hdl import Cat, Const, Module, Mux, Signal, Value
from amaranth.lib import enum, wiring
from amaranth.lib.data import StructLayout
from amaranth.lib.wiring import In, Out

from alula.gateware.arithmetic import float_activation
from alula.gateware.arithmetic.float_activation import TABLES, FloatActivation
from alula.gateware.arithmetic.float_add import FloatAdd
from alula.gateware.arithmetic.float_multiply import FloatMultiply
from alula.gateware.arithmetic.float_table import coefficients
from alula.gateware.hdl.repeat import placed

__all__ = ["Entry", "SfuLane", "route"]

HALF = Const(0x3F00_0000, 32)
"""1/2, fp32."""


class Entry(enum.Enum, shape=2):
    """The unit that an operation starts with."""

    ADD = 0
    MULTIPLY = 1
    FUNCTION = 2


route = StructLayout(
    {
        "entry": Entry,
        "rotate": 1,
        "operand": 1,
        "multiply": 1,
        "square": 1,
        "exp": 1,
        "centre": 1,
        "gate": 1,
        "relu": 1,
        "function": float_activation.shape,
    }
)
"""How the units of a lane are joined.

`entry` ADD: `a + b` with `operand`, else `a - s`; with `multiply`, that times `t`, or squared.
`entry` MULTIPLY: `a * t`, or `a` squared. `entry` FUNCTION: `a * function(a)`.
`exp`: the product is the function's argument (exp's times log2(e)), and the function the result;
with `centre`, the function less 1/2, times `s`.
`gate`: times `c`, used when `late` says so. `relu`: a negative `a` counts as 0.
`rotate`: `a * b - d * c`, or `+`, by turns.
"""


class SfuLane(wiring.Component):
    """One fp32 lane: an operation each cycle, a result some cycles later, in order.

    `route` holds still while operations are in the lane.

    Members:
        route (In): see `route`.
        valid (In): an operation starts.
        a, b, d (In): its operands.
        s (In): subtracted from `a`, or the last factor; holds still.
        t (In): factor, with the cycle in which it is used: when the first sum is there, or at once.
        late (Out): `c` is used in this cycle.
        c (In): the second factor.
        rom_enable, rom_address, rom_row: a port of a `TableRom` of `float_activation.TABLES`.
        result_valid, result (Out): the result.
    """

    def __init__(self) -> None:
        super().__init__(
            {
                "route": In(route),
                "valid": In(1),
                "a": In(32),
                "b": In(32),
                "c": In(32),
                "d": In(32),
                "s": In(32),
                "t": In(32),
                "late": Out(1),
                "rom_enable": Out(1),
                "rom_address": Out(11),
                "rom_row": In(coefficients(TABLES)),
                "result_valid": Out(1),
                "result": Out(32),
            }
        )

    def elaborate(self, platform: object) -> Module:
        """Units and the muxes between them."""
        m = Module()
        add, first, second, function = (
            FloatAdd(),
            FloatMultiply(),
            FloatMultiply(),
            FloatActivation(),
        )
        m.submodules.add = placed(add)
        m.submodules.first = placed(first)
        m.submodules.second = placed(second)
        m.submodules.function = placed(function)
        way = self.route
        from_add = Signal()
        from_multiply = Signal()
        from_function = Signal()
        m.d.comb += [
            from_add.eq((way["entry"] == Entry.ADD) & ~way["rotate"]),
            from_multiply.eq((way["entry"] == Entry.MULTIPLY) | way["rotate"]),
            from_function.eq((way["entry"] == Entry.FUNCTION) & ~way["rotate"]),
        ]

        argument = self._waiting(m, self.valid & from_function)
        turn = Signal()
        with m.If(way["rotate"] & first.result_valid):
            m.d.sync += turn.eq(~turn)
        m.d.comb += [
            add.valid.eq(
                Mux(
                    way["rotate"],
                    first.result_valid,
                    Mux(way["centre"], function.result_valid, self.valid & from_add),
                )
            ),
            add.a.eq(Mux(way["rotate"], first.result, Mux(way["centre"], function.result, self.a))),
            add.b.eq(
                Mux(
                    way["rotate"],
                    second.result,
                    Mux(way["centre"], HALF, Mux(way["operand"], self.b, self.s)),
                )
            ),
            add.subtract.eq(Mux(way["rotate"], ~turn, ~way["operand"])),
        ]

        p, q = Signal(32), Signal(32)
        m.d.comb += [
            p.eq(Mux(from_multiply, self.a, Mux(from_add, add.result, argument))),
            first.valid.eq(
                Mux(
                    from_multiply,
                    self.valid,
                    Mux(from_add, add.result_valid & way["multiply"], function.result_valid),
                )
            ),
            first.a.eq(Mux(way["relu"] & p[31], 0, p)),
        ]
        with m.If(way["rotate"]):
            m.d.comb += q.eq(self.b)
        with m.Elif(way["square"]):
            m.d.comb += q.eq(p)
        with m.Elif(from_function):
            m.d.comb += q.eq(function.result)
        with m.Else():
            m.d.comb += q.eq(self.t)
        m.d.comb += first.b.eq(q)

        m.d.comb += [
            function.valid.eq(Mux(way["exp"], first.result_valid, self.valid & from_function)),
            function.x.eq(Mux(way["exp"], first.result, self.a)),
            function.function.eq(way["function"]),
            self.rom_enable.eq(function.rom_enable),
            self.rom_address.eq(function.rom_address),
            function.rom_row.eq(self.rom_row),
        ]

        m.d.comb += [
            self.late.eq(way["gate"] & first.result_valid),
            second.valid.eq(
                Mux(way["rotate"], self.valid, Mux(way["centre"], add.result_valid, self.late))
            ),
            second.a.eq(Mux(way["rotate"], self.d, Mux(way["centre"], add.result, first.result))),
            second.b.eq(Mux(way["centre"], self.s, self.c)),
        ]

        with m.If(way["rotate"] | (from_add & ~way["multiply"])):
            m.d.comb += [self.result_valid.eq(add.result_valid), self.result.eq(add.result)]
        with m.Elif(way["exp"] & ~way["centre"]):
            m.d.comb += [
                self.result_valid.eq(function.result_valid),
                self.result.eq(function.result),
            ]
        with m.Elif(way["gate"] | way["centre"]):
            m.d.comb += [self.result_valid.eq(second.result_valid), self.result.eq(second.result)]
        with m.Else():
            m.d.comb += [self.result_valid.eq(first.result_valid), self.result.eq(first.result)]
        return m

    def _waiting(self, m: Module, begins: Value) -> Value:
        """The argument of a function, when its value is there."""
        waiting = [self.a]
        valid = Signal(float_activation.LATENCY)
        m.d.sync += valid.eq(Cat(begins, valid[:-1]))
        for stage in range(float_activation.LATENCY):
            place = Signal(32, name=f"waiting{stage}")
            with m.If(valid[stage - 1] if stage else begins):
                m.d.sync += place.eq(waiting[-1])
            waiting.append(place)
        return waiting[-1]
