"""From a chain's sums to the exact accumulators of several rows and one token."""

from collections.abc import Sequence
from itertools import pairwise

from amaranth.hdl import Array, Cat, Module, Mux, Signal, Value, signed
from amaranth.lib import data
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import Component, In, Out

from alula.gateware.hdl.delay import delayed
from alula.gateware.matrix.accumulator import (
    ACCUMULATOR_BITS,
    SUM_BITS,
    WEIGHED_BITS,
    overflows,
    result_members,
)
from alula.gateware.matrix.chain import GROUPS, HALF, LANE_BITS, TOTAL_BITS
from alula.isa.formats import MIN_UNIT

HALVES = GROUPS // HALF
"""Halves of a chain, each with multipliers of its own behind it."""
BANKS = 4
"""Row blocks whose accumulators are kept: results are read while the next ones grow."""
LATENCY = 8
"""Cycles from the last sums of a row block to `captured`."""
FACTOR = 3
"""Cycles from a group's second half to the first in which its factor is looked at."""
PLACE = data.StructLayout({"slot": range(HALF), "bank": range(BANKS)})
"""An accumulator of a half."""

SPARSE_CONTROL = data.StructLayout(
    {
        "first_half": 1,
        "second_half": 1,
        "segments": 2,
        "minimum": 1,
        "multiply": HALVES,
        "load": HALVES,
        "add": 1,
        "scale": HALVES,
        "write": HALVES,
        "restart": 1,
        "place": PLACE,
        "read": PLACE,
        "upper": 1,
    }
)
"""What the accumulators do in a cycle. ``segments``: log2 of the rows of a chain; a bit a half."""


def slots(segments: int) -> int:
    """Cycles that a group keeps the multipliers of a half busy, of so many rows a chain."""
    return 2 if segments == 1 else segments // HALVES


class SparseAccumulatorControl(Component):
    """The stages of all accumulators, from what comes out of the chains.

    A group takes `slots` cycles, in each of which both halves weigh one sum; without a pattern the
    lower half weighs the dot product, then the group's sum. The second half of the next group
    comes no earlier than that.

    Members:
        valid, half (In(1)): Sums leave the chains; which half of a group.
        segments (In(2)): log2 of the rows of a chain.
        first, last (In(1)): The group begins a row block; it ends one.
        control (Out(SPARSE_CONTROL)): For every `SparseAccumulator`.
        slot (Out(2)): The one in which scales are asked for; the first is the cycle after the
            second half.
        slot_segments (Out(2)): ``segments`` of the group that it belongs to.
        captured (Out(1)): A row block is complete; `control.read` is its bank.
        segment (In(3)): Which of its rows is read.
        read_segments (In(2)): log2 of how many there are.
    """

    valid: In(1)
    half: In(1)
    segments: In(2)
    first: In(1)
    last: In(1)
    control: Out(SPARSE_CONTROL)
    slot: Out(2)
    slot_segments: Out(2)
    captured: Out(1)
    segment: In(3)
    read_segments: In(2)

    def elaborate(self, platform: object) -> Module:
        """Make the module."""
        m = Module()
        control = self.control
        second = self.valid & self.half
        running, last_slot = Signal(), Signal(2)
        now_first, now_last, bank = Signal(), Signal(), Signal(range(BANKS))
        dense, ends = Signal(), Signal()
        counts = Array(slots(1 << power) - 1 for power in range(4))
        m.d.comb += [
            control.first_half.eq(self.valid & ~self.half),
            control.second_half.eq(second),
            control.segments.eq(self.segments),
            dense.eq(self.slot_segments == 0),
            ends.eq(running & (self.slot == last_slot)),
            control.minimum.eq(dense & (self.slot == 1)),
        ]
        with m.If(running):
            m.d.sync += self.slot.eq(self.slot + 1)
        with m.If(ends):
            m.d.sync += running.eq(0)
            with m.If(now_last):
                m.d.sync += bank.eq(bank + 1)
        with m.If(second):
            m.d.sync += [
                running.eq(1),
                self.slot.eq(0),
                self.slot_segments.eq(self.segments),
                last_slot.eq(counts[self.segments]),
                now_first.eq(self.first),
                now_last.eq(self.last),
            ]

        stage = data.StructLayout(
            {"halves": HALVES, "minimum": 1, "skip": 1, "restart": 1, "place": PLACE}
        )
        stages = [Signal(stage, name=f"stage_{number}") for number in range(4)]
        for earlier, later in pairwise(stages):
            m.d.sync += later.eq(earlier)
        entering = stages[0]
        m.d.comb += [
            entering.halves.eq(Mux(running, Mux(dense, 0b01, 0b11), 0)),
            entering.minimum.eq(control.minimum),
            # The dot product waits for the group's sum.
            entering.skip.eq(dense & (self.slot == 0)),
            entering.restart.eq(now_first),
            entering.place.slot.eq(Mux(dense, 0, self.slot)),
            entering.place.bank.eq(bank),
            control.multiply.eq(entering.halves),
            control.load.eq(stages[1].halves),
            control.add.eq(stages[1].minimum),
            control.scale.eq(stages[2].halves),
            control.write.eq(Mux(stages[3].skip, 0, stages[3].halves)),
            control.restart.eq(stages[3].restart),
            control.place.eq(stages[3].place),
        ]
        done = delayed(m, second & self.last, LATENCY, name="last")[-1]
        read_bank = Signal(range(BANKS), init=BANKS - 1)
        m.d.comb += [
            self.captured.eq(done),
            control.read.bank.eq(read_bank + done),
        ]
        m.d.sync += read_bank.eq(read_bank + done)
        with m.Switch(self.read_segments):
            for power in range(1, 4):
                with m.Case(power):
                    # Halves share the rows evenly.
                    m.d.comb += [
                        control.upper.eq(self.segment >> (power - 1)),
                        control.read.slot.eq(self.segment & ((1 << power - 1) - 1)),
                    ]
        return m


def slot_scales(m: Module, control: SparseAccumulatorControl, metas: Sequence[Value]) -> Value:
    """Return what both halves of a row's chains weigh by in this slot, ``2 x 9`` bits.

    ``metas``: of a group, the scales of the row in each segment; without a pattern scale and min.
    """
    lower = Array(metas[:HALF])[control.slot]
    unsigned = (control.slot_segments == 0) & (control.slot == 0)
    upper = Signal(8)
    with m.Switch(control.slot_segments):
        for power in range(1, 4):
            half = 1 << power - 1
            with m.Case(power):
                m.d.comb += upper.eq(Array(metas[half : 2 * half])[control.slot])
    return Cat(lower, lower[7] & ~unsigned, upper, upper[7])


class SparseAccumulator(Component):
    """``sum over groups of scale * dot * factor`` for each row of a chain, exact in 48 bits.

    Each half of a chain has a multiplier by scales, one by factors, and four accumulators in a
    small memory. Without a pattern the lower half does what `Accumulator` does.

    Args:
        bits (int): Width that a result must fit, at least 32; it is 48 bits wide in any case.

    Members:
        control (In(SPARSE_CONTROL)): From `SparseAccumulatorControl`.
        total (In(20), signed), sums (In(8 x 18), signed): From the chain.
        scale (In(2 x 9), signed): Of the group and of the row whose sum is weighed in this slot,
            for each half; without a pattern the group's scale, then its minimum.
        sum (In(14), signed): Of the group's activations.
        factor (In(8)): Of the group's activations, two cycles after the slot.
        captured (Out(48), signed): The accumulator that `control.read` and ``control.upper`` name.
        overflow (Out(1)): ``captured`` does not fit ``bits`` bits.
    """

    def __init__(self, *, bits: int = ACCUMULATOR_BITS) -> None:
        self.bits = bits
        super().__init__(
            {
                "control": In(SPARSE_CONTROL),
                "total": In(signed(TOTAL_BITS)),
                "sums": In(data.ArrayLayout(signed(LANE_BITS), GROUPS)),
                "scale": In(data.ArrayLayout(signed(9), HALVES)),
                "sum": In(signed(SUM_BITS)),
                "factor": In(8),
                **result_members(bits),
            }
        )

    def elaborate(self, platform: object) -> Module:
        """Make the module."""
        m = Module()
        results = [self._half(m, half) for half in range(HALVES)]
        m.d.comb += self.captured.eq(Mux(self.control.upper, results[1], results[0]))
        if self.bits < ACCUMULATOR_BITS:
            m.d.comb += self.overflow.eq(overflows(self.captured, self.bits))
        return m

    def _half(self, m: Module, half: int) -> Signal:
        """Sums, multipliers and accumulators of half a chain; the accumulator that is read."""
        control = self.control
        dots = self._dots(m, half)
        product, weighed = (Signal(signed(WEIGHED_BITS), name=f"{n}_{half}") for n in ("p", "w"))
        left = Signal(signed(TOTAL_BITS), name=f"left_{half}")
        m.d.comb += left.eq(dots[0])
        if half == 0:
            with m.If(control.minimum):
                m.d.comb += left.eq(self.sum * MIN_UNIT)
        with m.If(control.multiply[half]):
            m.d.sync += product.eq(left * self.scale[half])
        with m.If(control.load[half]):
            m.d.sync += weighed.eq(product)
            if half == 0:
                with m.If(control.add):
                    m.d.sync += weighed.eq(weighed + product)
        scaled = Signal(signed(WEIGHED_BITS + 8), name=f"scaled_{half}")
        with m.If(control.scale[half]):
            m.d.sync += scaled.eq(weighed * self.factor)

        memory = Memory(shape=signed(ACCUMULATOR_BITS), depth=HALF * BANKS, init=[])
        m.submodules[f"accumulators_{half}"] = memory
        port, old, read = (
            memory.write_port(), memory.read_port(domain="comb"), memory.read_port(domain="comb")
        )  # fmt: skip
        m.d.comb += [
            port.addr.eq(control.place),
            old.addr.eq(control.place),
            port.en.eq(control.write[half]),
            port.data.eq(Mux(control.restart, 0, old.data) + scaled),
            read.addr.eq(control.read),
        ]
        return read.data

    def _dots(self, m: Module, half: int) -> list[Signal]:
        """The dot products of a group, the next to be weighed first."""
        control = self.control
        sums = [self.sums[half * HALF + group] for group in range(HALF)]
        # By log2 of the rows of a chain: segments of four, two or one DSP groups end with these.
        ends = {1: [sums[3]], 2: [sums[1], sums[3]], 3: sums}
        if half == 0:
            ends[0] = [self.total]
        earlier, dots = (
            [Signal(signed(TOTAL_BITS), name=f"{name}_{half}_{slot}") for slot in range(HALF)]
            for name in ("earlier", "dot")
        )
        with m.If(control.multiply[half]):
            m.d.sync += [dot.eq(behind) for dot, behind in pairwise(dots)]
        with m.Switch(control.segments):
            for segments, found in ends.items():
                with m.Case(segments):
                    with m.If(control.first_half):
                        m.d.sync += [e.eq(v) for e, v in zip(earlier, found, strict=False)]
                    with m.If(control.second_half):
                        m.d.sync += [
                            dot.eq(e + v) for dot, e, v in zip(dots, earlier, found, strict=False)
                        ]
        return dots
