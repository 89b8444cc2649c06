"""From a chain's sums to the exact accumulator of a row and token."""

from amaranth.hdl import Cat, Const, Module, Mux, Signal, Value, signed
from amaranth.lib import data
from amaranth.lib.wiring import Component, In, Out

from alula.design.engines import MOST_ACCUMULATOR_BITS
from alula.gateware.arithmetic.dsp48e2 import M, P, dsp48e2
from alula.gateware.hdl.delay import delayed
from alula.gateware.matrix.chain import TOTAL_BITS
from alula.isa.formats import MIN_UNIT

LATENCY = 9
"""Cycles from the last total of a row block to `captured`."""
FACTOR = 5
"""Cycles from a group's second half to the first in which its factor is looked at."""
ACCUMULATOR_BITS = MOST_ACCUMULATOR_BITS
SUM_BITS = 14
_LOW_BITS = 17
"""Of a factor, that a multiplier of 18 bits takes beside a sign."""
WEIGHED_BITS = 25
"""Bits of a weighed group: 32 products of 127 by 8 times 255, and 4 * 128 * 32 * 127."""

CONTROL = data.StructLayout(
    {"first_half": 1, "stages": LATENCY, "restarts": 1, "restart": 1, "capture": 1}
)
"""What the accumulators do in a cycle. ``stages``: bit k says that a second half came k cycles ago;
``restarts``: that there is a `restart` in the next cycle."""


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
        firsts = delayed(m, self.first, LATENCY - 2, name="first")
        lasts = delayed(m, second & self.last, LATENCY, name="last")
        m.d.comb += [
            self.control.first_half.eq(self.valid & ~self.half),
            self.control.stages.eq(Cat(stages)),
            self.control.restarts.eq(firsts[-2]),
            self.control.restart.eq(firsts[-1]),
            self.control.capture.eq(lasts[-2]),
            self.captured.eq(lasts[-1]),
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
        factor (In(8)): Of the group's activations, `FACTOR` cycles after the second half and one
            more.
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
        total = Signal(signed(ACCUMULATOR_BITS), reset_less=True)
        if platform == "dsp48e2":
            self._blocks(m, total)
        else:
            self._portable(m, total)
        captured = Signal(signed(ACCUMULATOR_BITS), reset_less=True)
        m.d.comb += self.captured.eq(captured)
        with m.If(self.control.capture):
            m.d.sync += captured.eq(total)
            if self.bits < ACCUMULATOR_BITS:
                m.d.sync += self.overflow.eq(overflows(total, self.bits))
        return m

    def _portable(self, m: Module, accumulator: Signal) -> None:
        """What is not asked for keeps its value."""
        control, stages = self.control, self.control.stages
        half, dot, left, right, low, high, weighed, scaled_low, scaled_high, scaled = (
            Signal(signed(bits), name=name, reset_less=True)
            for name, bits in (
                ("half", TOTAL_BITS),
                ("dot", TOTAL_BITS),
                ("left", TOTAL_BITS),
                ("right", 9),
                ("low", WEIGHED_BITS),
                ("high", WEIGHED_BITS - _LOW_BITS),
                ("weighed", WEIGHED_BITS),
                ("scaled_low", _LOW_BITS + 9),
                ("scaled_high", WEIGHED_BITS - _LOW_BITS + 8),
                ("scaled", WEIGHED_BITS + 8),
            )
        )
        with m.If(control.first_half):
            m.d.sync += half.eq(self.total)
        with m.If(stages[0]):
            m.d.sync += dot.eq(half + self.total)
        # Factors are registered beside their multiplier, which may lie far from what they come of.
        with m.If(stages[1]):
            m.d.sync += [left.eq(dot), right.eq(self.scale)]
        with m.If(stages[2]):
            m.d.sync += [left.eq(self.sum * MIN_UNIT), right.eq(self.minimum)]
        with m.If(stages[2] | stages[3]):
            m.d.sync += [
                low.eq(left[:_LOW_BITS] * right),
                high.eq(left[_LOW_BITS:].as_signed() * right),
            ]
        with m.If(stages[3]):
            m.d.sync += weighed.eq(low + (high << _LOW_BITS))
        with m.If(stages[4]):
            m.d.sync += weighed.eq(weighed + low + (high << _LOW_BITS))
        with m.If(stages[FACTOR]):
            m.d.sync += [
                scaled_low.eq(weighed[:_LOW_BITS] * self.factor),
                scaled_high.eq(weighed[_LOW_BITS:].as_signed() * self.factor),
            ]
        with m.If(stages[FACTOR + 1]):
            m.d.sync += scaled.eq(scaled_low + (scaled_high << _LOW_BITS))
        with m.If(stages[7]):
            m.d.sync += accumulator.eq(Mux(control.restart, 0, accumulator) + scaled)

    def _blocks(self, m: Module, accumulator: Signal) -> None:
        """Two blocks: halves are added, weighed and summed in one, scaled and summed in the other.

        A factor of a block is at its input two cycles before the product, what is added to it
        one cycle before the sum.
        """
        control, stages = self.control, self.control.stages
        half, left, right = (
            Signal(signed(TOTAL_BITS)),
            Signal(signed(TOTAL_BITS)),
            Signal(signed(9)),
        )
        weighed = Signal(48)
        with m.If(control.first_half):
            m.d.sync += half.eq(self.total)
        with m.Elif(stages[0]):
            m.d.sync += half.eq(0)
        m.d.comb += [
            left.eq(Mux(stages[1], self.sum * MIN_UNIT, self.total)),
            right.eq(Mux(stages[2], self.minimum, self.scale)),
        ]
        m.submodules.weigh = dsp48e2(
            Mux(stages[3], Const(M | P, 9), M),
            inputs={"A": left, "D": half, "B": right},
            outputs={"P": weighed},
            registers={"OPMODEREG": 1},
            pre_adder=True,
        )
        m.submodules.scale = dsp48e2(
            Mux(control.restarts, Const(M, 9), M | P),
            inputs={"A": weighed[:WEIGHED_BITS].as_signed(), "B": self.factor},
            outputs={"P": accumulator},
            registers={"OPMODEREG": 1},
            enables={"P": stages[7]},
        )
