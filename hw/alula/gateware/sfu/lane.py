"""One lane of the SFU: two multipliers, an adder, the functions, and how they are joined."""

from collections.abc import Sequence

from amaranth.hdl import Array, Cat, Const, Module, Mux, Signal, Value
from amaranth.lib import enum, wiring
from amaranth.lib.data import StructLayout, View
from amaranth.lib.wiring import In, Out

from alula.gateware.arithmetic import float_activation
from alula.gateware.arithmetic.float_activation import TABLES, FloatActivation
from alula.gateware.arithmetic.float_add import FloatAdd
from alula.gateware.arithmetic.float_multiply import FloatMultiply
from alula.gateware.arithmetic.float_table import coefficients
from alula.gateware.hdl.repeat import shared
from alula.gateware.sfu import units

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


def _factor(route: View) -> Value:
    """Which is the first multiplier's second factor: `b`, the first one, the function, or `t`."""
    function = route.entry == Entry.FUNCTION
    return Mux(route.rotate, 0, Mux(route.square, 1, Mux(function, 2, 3)))


def _last(route: View) -> Value:
    """Which unit is the last: the adder, the function, the second multiplier, or the first."""
    adds = route.rotate | ((route.entry == Entry.ADD) & ~route.multiply)
    function = route.exp & ~route.centre
    return Mux(adds, 0, Mux(function, 1, Mux(route.gate | route.centre, 2, 3)))


class SfuLane(wiring.Component):
    """One fp32 lane: an operation each cycle, a result some cycles later, in order.

    `route` holds still from the cycle before the first operation until the last result. The
    operands of each unit are registered before it (`alula.gateware.sfu.units`).

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

    route: In(route)
    valid: In(1)
    a: In(32)
    b: In(32)
    c: In(32)
    d: In(32)
    s: In(32)
    t: In(32)
    late: Out(1)
    rom_enable: Out(1)
    rom_address: Out(11)
    rom_row: In(coefficients(TABLES))
    result_valid: Out(1)
    result: Out(32)

    def elaborate(self, platform: object) -> Module:
        """Units and the muxes between them."""
        m = Module()
        add, first, second, function = (
            FloatAdd(),
            FloatMultiply(),
            FloatMultiply(),
            FloatActivation(),
        )
        m.submodules.add = shared(add)
        m.submodules.first = shared(first)
        m.submodules.second = shared(second)
        m.submodules.function = shared(function)
        way = Signal(route)
        m.d.sync += way.eq(self.route)
        rotate, centre = way.rotate, way.centre
        from_add, from_multiply, from_function = Signal(), Signal(), Signal()
        entry, pairs = self.route.entry, self.route.rotate
        m.d.sync += [
            from_add.eq((entry == Entry.ADD) & ~pairs),
            from_multiply.eq((entry == Entry.MULTIPLY) | pairs),
            from_function.eq((entry == Entry.FUNCTION) & ~pairs),
        ]
        begins, turn = self.valid, Signal()
        with m.If(rotate & first.result_valid):
            m.d.sync += turn.eq(~turn)
        self._enter(
            m,
            add,
            Mux(
                rotate,
                first.result_valid,
                Mux(centre, function.result_valid, begins & from_add),
            ),
            a=Mux(rotate, first.result, Mux(centre, function.result, self.a)),
            b=Mux(rotate, second.result, Mux(centre, HALF, Mux(way.operand, self.b, self.s))),
            subtract=Mux(rotate, ~turn, ~way.operand),
        )

        argument = self._waiting(m, begins & from_function)
        p, q = Signal(32), Signal(32)
        m.d.comb += p.eq(Mux(from_multiply, self.a, Mux(from_add, add.result, argument)))
        factors = (self.b, p, function.result, self.t)
        m.d.comb += q.eq(self._chosen(m, "factor", _factor(self.route), factors))
        held = self._enter(
            m,
            first,
            Mux(
                from_multiply,
                begins,
                Mux(from_add, add.result_valid & way.multiply, function.result_valid),
            ),
            a=p,
            b=q,
        )
        # Not within the other: then synthesis makes it the register's reset.
        with m.If(begins & from_multiply & way.relu & self.a[31]):
            m.d.sync += held["a"].eq(0)
        self._enter(
            m,
            function,
            Mux(way.exp, first.result_valid, begins & from_function),
            x=Mux(way.exp, first.result, self.a),
        )
        m.d.comb += [
            function.function.eq(way.function),
            self.rom_enable.eq(function.rom_enable),
            self.rom_address.eq(function.rom_address),
            function.rom_row.eq(self.rom_row),
            self.late.eq(way.gate & first.result_valid),
        ]
        self._enter(
            m,
            second,
            Mux(rotate, begins, Mux(centre, add.result_valid, self.late)),
            a=Mux(rotate, self.d, Mux(centre, add.result, first.result)),
            b=Mux(centre, self.s, self.c),
        )

        results = [Cat(unit.result, unit.result_valid) for unit in (add, function, second, first)]
        chosen = self._chosen(m, "last", _last(self.route), results)
        m.d.comb += Cat(self.result, self.result_valid).eq(chosen)
        return m

    def _chosen(self, m: Module, name: str, choice: Value, values: Sequence[Value]) -> Value:
        """Return one of four values; which one is decoded a cycle before: a look-up table a bit."""
        held = Signal(2, name=name)
        m.d.sync += held.eq(choice)
        return Array(values)[held]

    def _enter(
        self, m: Module, unit: wiring.Component, valid: Value, **operands: Value
    ) -> dict[str, Signal]:
        """Put operands into the registers before a unit. Return those of its operands."""
        m.d.sync += unit.valid.eq(valid)
        held = {}
        for name, value in operands.items():
            port = getattr(unit, name)
            held[name] = Signal(port.shape(), name=f"held_{name}", reset_less=True)
            # Whether they are operands is known late: what comes is followed in any case.
            m.d.comb += port.eq(held[name])
            m.d.sync += held[name].eq(value)
        return held

    def _waiting(self, m: Module, begins: Value) -> Value:
        """The argument of a function, when its value is there."""
        waiting = [self.a]
        valid = Signal(units.FUNCTION)
        m.d.sync += valid.eq(Cat(begins, valid[:-1]))
        for stage in range(units.FUNCTION):
            place = Signal(32, name=f"waiting{stage}", reset_less=True)
            # As for operands: the first follows what comes.
            with m.If(valid[stage - 1] if stage else 1):
                m.d.sync += place.eq(waiting[-1])
            waiting.append(place)
        return waiting[-1]
