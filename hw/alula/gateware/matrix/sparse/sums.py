"""What the matrix engine of a machine for N:M patterns has besides, or instead."""

from collections.abc import Sequence

from amaranth.hdl import Array, Cat, Module, Mux, Signal, signed
from amaranth.lib import data
from amaranth.lib.wiring import Component, In, Member, Out

from alula.design import BLOCK
from alula.gateware.hdl.delay import delayed
from alula.gateware.matrix.chain import GROUPS, cuts_of
from alula.gateware.matrix.multiplier import LANE_BITS
from alula.gateware.matrix.sparse.accumulator import (
    FACTOR,
    SparseAccumulator,
    SparseAccumulatorControl,
    slot_scales,
    slots,
)
from alula.gateware.matrix.sparse.indexer import LATENCY as INDEX_LATENCY
from alula.gateware.matrix.sparse.indexer import Indexer
from alula.gateware.matrix.sums import Sums
from alula.gateware.stream.weight_format import FORMAT_BITS, ROW_BITS, by_format
from alula.gateware.stream.weight_stream import MOST_SEGMENTS


class Weighing(Component):
    """Counts the cycles for which a group keeps the multipliers behind the chains.

    Members:
        format (In(7)): Of the block that passes.
        second (In(1)): The second half of a group passes.
        busy (Out(1)): The next group's must not.
    """

    format: In(FORMAT_BITS)
    second: In(1)
    busy: Out(1)

    def elaborate(self, platform: object) -> Module:
        """Make the module."""
        m = Module()
        extra = by_format(
            m, self.format, lambda item: slots(item.pattern.segments) - 1, name="extra", sparse=True
        )
        left = Signal(extra.shape())
        with m.If(self.second):
            m.d.sync += left.eq(extra)
        with m.Elif(left != 0):
            m.d.sync += left.eq(left - 1)
        m.d.comb += self.busy.eq(left.any())
        return m


class SparseOperands(Component):
    """What chains need of a block with a pattern, `indexer.LATENCY` cycles after it passes.

    Args:
        rows (int): Rows of a block in this core.
        channels (int): Memory channels of this core.

    Members:
        format (In(7)): Of the block that passes.
        fires (In(1)): A block passes.
        beat (In(64 * rows)), phase (In(2)): Its indices; see `block_layout`.
        index (Out(rows x 16 x 4)): The activation that each weight meets.
        cuts (Out(8)): Where chains are cut; nowhere without a pattern.
    """

    def __init__(self, *, rows: int, channels: int) -> None:
        self.rows, self.channels = rows, channels
        super().__init__(
            {
                "format": In(FORMAT_BITS),
                "fires": In(1),
                "beat": In(ROW_BITS * rows),
                "phase": In(2),
                "index": Out(data.ArrayLayout(data.ArrayLayout(4, BLOCK), rows)),
                "cuts": Out(GROUPS),
            }
        )

    def elaborate(self, platform: object) -> Module:
        """Make the module."""
        m = Module()
        m.submodules.indexer = indexer = Indexer(rows=self.rows, channels=self.channels)
        cuts = by_format(
            m,
            self.format,
            lambda item: cuts_of(item.pattern.segments),
            name="next_cuts",
            sparse=True,
        )
        m.d.comb += [
            indexer.format.eq(self.format),
            indexer.beat.eq(self.beat),
            indexer.phase.eq(self.phase),
            indexer.enable.eq(self.fires & cuts.any()),
            self.index.eq(indexer.index),
        ]
        passed = delayed(m, Cat(self.fires, cuts), INDEX_LATENCY - 1, name="passed")[-1]
        with m.If(passed[0]):
            m.d.sync += self.cuts.eq(passed[1:])
        return m


class SparseSums(Sums):
    """The accumulators of several rows a chain; segments of a row block end one after the other.

    Members:
        sums (In(rows x tokens x 8 x 18), signed): Of the block that leaves the chains.
        power (In(2)): log2 of the rows of a chain.
    """

    factor_latency = FACTOR

    def _more(self) -> dict[str, Member]:
        sums = data.ArrayLayout(signed(LANE_BITS), GROUPS)
        return {"sums": In(self._grid(sums)), "power": In(2)}

    def _control(self) -> Component:
        return SparseAccumulatorControl()

    def _accumulators(
        self, m: Module, control: Component, metas: list, row: int
    ) -> Sequence[Component]:
        bits = self.sizes.accumulator_bits
        found = [SparseAccumulator(bits=bits) for _ in range(self.sizes.tokens)]
        scale = slot_scales(m, control, metas)
        for token, accumulator in enumerate(found):
            m.d.comb += [
                accumulator.scale.eq(scale),
                accumulator.sums.eq(self.sums[row][token]),
            ]
        return found

    def _hand_on(self, m: Module, control: Component) -> None:
        info, given = self.info, self.row_block.payload
        segment, follows, last = Signal(range(MOST_SEGMENTS)), Signal(), Signal()
        m.d.comb += [
            control.segments.eq(self.power),
            control.segment.eq(segment),
            control.read_segments.eq(given.info.segments),
            last.eq(segment == (1 << given.info.segments) - 1),
            self.start.eq(control.captured | follows),
            info.eq(given.info),
            info.factor.eq(Array(given.factors[p] for p in range(MOST_SEGMENTS))[segment]),
            info.first_segment.eq(segment == 0),
            info.last_segment.eq(last),
            self.row_block.ready.eq(self.taken & last),
        ]
        m.d.sync += follows.eq(self.taken & ~last)
        with m.If(self.taken):
            m.d.sync += segment.eq(Mux(last, 0, segment + 1))
