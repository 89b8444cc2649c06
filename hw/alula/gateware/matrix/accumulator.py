"""From a chain's sums to the exact accumulator of a row and token."""

from amaranth.hdl import Module, Mux, Signal, Value, signed
from amaranth.lib import data
from amaranth.lib.wiring import Component, In, Out

from alula.design.engines import MOST_ACCUMULATOR_BITS
from alula.gateware.hdl.delay import delayed
from alula.gateware.matrix.chain import TOTAL_BITS
from alula.isa.formats import MIN_UNIT

__all__ = [
    "ACCUMULATOR_BITS",
    "CONTROL",
    "LATENCY",
    "Accumulator",
    "AccumulatorControl",
    "overflows",
    "result_members",
]

LATENCY = 7
"""Cycles from the last total of a row block to `captured`."""
ACCUMULATOR_BITS = MOST_ACCUMULATOR_BITS
SUM_BITS = 14
WEIGHED_BITS = 25
"""Bits of a weighed group: 32 products of 127 by 8 times 255, and 4 * 128 * 32 * 127."""

CONTROL = data.StructLayout(
    {"first_half": 1, "second_half": 1, "minimum": 1, "load": 1, "add": 1}
    | {"accumulate": 1, "restart": 1, "capture": 1}
)
"""What the accumulators do in a cycle, one bit a stage."""


def result_members(bits: int) -> dict[str, Out]:
    """What an accumulator hands on: `captured`, and `overflow` where that does not fit `bits`."""
    if not 32 <= bits <= ACCUMULATOR_BITS:
        raise ValueError(f"bits must be 32 to {ACCUMULATOR_BITS}, not {bits}")
    return {"captured": Out(signed(ACCUMULATOR_BITS)), "overflow": Out(1)}


def overflows(captured: Value, bits: int) -> Value:
    """Whether an accumulator does not fit so many bits, with its sign."""
    above = captured[bits - 1 :]
    return above.any() & ~above.all()


class AccumulatorControl(Component):
    """The stages of all accumulators, from what comes out of the chains.

    A group's halves may come with any distance; `scale`, `minimum` and the rest of a group stand at
    their inputs in the cycle of its second half.

    Members:
        valid, half (In(1)): Totals leave the chains; which half of a group.
        first, last (In(1)): The group begins a row block; it ends one.
        control (Out(CONTROL)): For every `Accumulator`.
        captured (Out(1)): High in the first cycle in which ``captured`` of the accumulators is new.
    """

    valid: In(1)
    half: In(1)
    first: In(1)
    last: In(1)
    control: Out(CONTROL)
    captured: Out(1)

    def elaborate(self, platform: object) -> Module:
        """Make the module."""
        m = Module()
        second = self.valid & self.half
        stages = delayed(m, second, LATENCY - 1, name="second")
        firsts = delayed(m, self.first, 5, name="first")
        lasts = delayed(m, second & self.last, LATENCY, name="last")
        m.d.comb += [
            self.control.first_half.eq(self.valid & ~self.half),
            self.control.second_half.eq(second),
            self.control.minimum.eq(stages[2]),
            self.control.load.eq(stages[2]),
            self.control.add.eq(stages[3]),
            self.control.accumulate.eq(stages[5]),
            self.control.restart.eq(firsts[5]),
            self.control.capture.eq(lasts[6]),
            self.captured.eq(lasts[7]),
        ]
        return m


class Accumulator(Component):
    """``sum over groups of (scale * dot + 4 * minimum * sum) * factor``, exact in 48 bits.

    One multiplier does ``scale * dot`` in one cycle of a group and ``4 * minimum * sum`` in the
    next; a second one multiplies by ``factor`` and accumulates. No design reaches the ends of 48
    bits: a group adds less than 2^32 and a row has at most 2^13 groups.

    Args:
        bits (int): Width that a result must fit, at least 32; it is 48 bits wide in any case.

    Members:
        control (In(CONTROL)): From `AccumulatorControl`.
        total (In(20), signed): A block's dot product, from the chain.
        scale, minimum (In(8), In(8) signed): Of the group and row, one cycle after the second half
            until the group after it.
        sum (In(14), signed): Of the group's activations, at the same time.
        factor (In(8)): Of the group's activations, three cycles after that of the second half and
            one more.
        captured (Out(48), signed): The accumulator of the last row block that has ended.
        overflow (Out(1)): ``captured`` does not fit ``bits`` bits.
    """

    def __init__(self, *, bits: int = ACCUMULATOR_BITS) -> None:
        self.bits = bits
        super().__init__(
            {
                "control": In(CONTROL),
                "total": In(signed(TOTAL_BITS)),
                "scale": In(8),
                "minimum": In(signed(8)),
                "sum": In(signed(SUM_BITS)),
                "factor": In(8),
                **result_members(bits),
            }
        )

    def elaborate(self, platform: object) -> Module:
        """Make the module."""
        m = Module()
        control = self.control
        half, dot = Signal(signed(TOTAL_BITS)), Signal(signed(TOTAL_BITS))
        with m.If(control.first_half):
            m.d.sync += half.eq(self.total)
        with m.If(control.second_half):
            m.d.sync += dot.eq(half + self.total)

        left, right = Signal(signed(TOTAL_BITS)), Signal(signed(9))
        product, weighed = Signal(signed(WEIGHED_BITS)), Signal(signed(WEIGHED_BITS))
        m.d.comb += [
            left.eq(Mux(control.minimum, self.sum * MIN_UNIT, dot)),
            right.eq(Mux(control.minimum, self.minimum, self.scale)),
        ]
        m.d.sync += product.eq(left * right)
        with m.If(control.load):
            m.d.sync += weighed.eq(product)
        with m.If(control.add):
            m.d.sync += weighed.eq(weighed + product)

        scaled, accumulator = Signal(signed(WEIGHED_BITS + 8)), Signal(signed(ACCUMULATOR_BITS))
        m.d.sync += scaled.eq(weighed * self.factor)
        with m.If(control.accumulate):
            m.d.sync += accumulator.eq(Mux(control.restart, 0, accumulator) + scaled)
        with m.If(control.capture):
            m.d.sync += self.captured.eq(accumulator)
        if self.bits < ACCUMULATOR_BITS:
            m.d.comb += self.overflow.eq(overflows(self.captured, self.bits))
        return m
