"""Blocks and activations into the multipliers, and what goes with them."""

from amaranth.hdl import Module, Mux, Signal, Value, signed
from amaranth.lib import data, stream
from amaranth.lib.wiring import Component, In, Out, connect, flipped

from alula.gateware.buffers.activation_buffer import read_layout
from alula.gateware.hdl.fifo import RegisteredFifo
from alula.gateware.matrix.layout import group_layout, product_layout, row_block_layout
from alula.gateware.matrix.output_stage import POWER_BITS
from alula.gateware.matrix.sizes import MatrixSizes
from alula.gateware.matrix.sparse.sums import Weighing
from alula.gateware.stream.weight_format import by_format, segments_power
from alula.gateware.stream.weight_stream import block_layout

ONE = 0x3F80
"""1.0 as bf16."""
GROUPS_UNDER_WAY = 16


class Operands(Component):
    """Lets a block and its activations pass together; what is behind never waits.

    Args:
        sizes (MatrixSizes): Of the engine.
        sets (int): Segments of row blocks that may be between here and their last write.

    Members:
        block, held, activations: Those of `Mpe`.
        product (In stream of `product_layout`): The product of the next block, there before its
            first row block ends; taken with its last block.
        may_end (Out(1)), may_weigh (Out(1), with ``sparse``): Those of `WeightStream`.
        fires (Out(1)): Both pass in this cycle.
        group (Out stream of `group_layout`): Each group that passed, in order.
        row_block (Out stream of `row_block_layout`): Each row block and pass that passed, in order.
        finished (In(1)): A segment of a row block has been written.
    """

    def __init__(self, sizes: MatrixSizes, *, sets: int) -> None:
        self.sizes, self.sets = sizes, sets
        super().__init__(
            {
                "block": In(stream.Signature(block_layout(sizes.rows, sparse=sizes.sparse))),
                "held": In(1),
                "activations": In(stream.Signature(read_layout(sizes.tokens))),
                "product": In(stream.Signature(product_layout(sizes))),
                "fires": Out(1),
                "group": Out(stream.Signature(group_layout(sizes))),
                "row_block": Out(stream.Signature(row_block_layout(sizes))),
                "finished": In(1),
                "may_end": Out(1),
            }
            | ({"may_weigh": Out(1)} if sizes.sparse else {})
        )

    def elaborate(self, platform: object) -> Module:
        """Make the module."""
        m = Module()
        step = self.block.payload.step
        power = by_format(m, step.tag, segments_power, name="power", sparse=self.sizes.sparse)
        ends = Signal()
        self._limit(m, ends, power)
        if self.sizes.sparse:
            self._weigh(m)
        # The stream offers a block that it holds where it may end. Found here as well, of registers
        # alone: all that passes depends on it.
        offered = self.held & (self.may_end | ~step.last)
        if self.sizes.sparse:
            offered &= self.may_weigh | ~step.half
        m.d.comb += [
            self.fires.eq(offered & self.activations.valid),
            self.block.ready.eq(self.activations.valid),
            self.activations.ready.eq(self.block.valid),
            ends.eq(self.fires & step.last),
            self.product.ready.eq(ends & step.last_pass & step.last_block),
        ]
        # What passes is registered: block RAMs hand it out.
        block, side, product = (
            Signal.like(value, name=name, reset_less=True)
            for name, value in (
                ("passed_block", self.block.payload),
                ("passed_side", self.activations.payload.side),
                ("passed_product", self.product.payload),
            )
        )
        passed = Signal()
        m.d.sync += passed.eq(self.fires)
        with m.If(self.fires):
            m.d.sync += [
                block.eq(self.block.payload),
                side.eq(self.activations.payload.side),
                product.eq(self.product.payload),
            ]
        self._groups(m, passed, block, side)
        self._row_blocks(m, passed, block, side, product)
        return m

    def _groups(self, m: Module, passed: Value, block: data.View, side: data.View) -> None:
        """Queue what sums need of each group, when its second half has passed."""
        step = block.step
        power = by_format(
            m, step.tag, segments_power, name="passed_power", sparse=self.sizes.sparse
        )
        known = Signal(side.shape())
        with m.If(passed & ~step.half):
            m.d.sync += known.eq(side)
        metas = by_format(
            m, step.tag, lambda item: item.metas, name="metas", sparse=self.sizes.sparse
        )
        enters = passed & step.half
        group = self._queue(m, "groups", self.group, GROUPS_UNDER_WAY, enters)
        m.d.comb += [group.first.eq(step.first), group.last.eq(step.last)]
        for token in range(self.sizes.tokens):
            m.d.comb += [
                group.sum[token].eq(known[token].sum),
                group.factor[token].eq(known[token].scale),
            ]
        for number, segments in enumerate(group.metas):
            # A scale of 1, and no min.
            missing = 1 if number != 1 else power != 0
            for row in range(self.sizes.rows):
                m.d.comb += segments[row].eq(Mux(metas, block.metas[number][row], missing))

    def _row_blocks(
        self, m: Module, passed: Value, block: data.View, side: data.View, product: data.View
    ) -> None:
        """Queue what the output stage needs of each row block and pass, when its end has passed."""
        sizes, step = self.sizes, block.step
        powers = Signal(data.ArrayLayout(signed(POWER_BITS), sizes.tokens))
        with m.If(passed & step.first & ~step.half):
            m.d.sync += [powers[t].eq(side[t].exponent) for t in range(sizes.tokens)]
        enters = passed & step.last
        row_block = self._queue(m, "row_blocks", self.row_block, self.sets, enters)
        info = row_block.info
        m.d.comb += [
            info.power.eq(powers),
            info.last_token.eq(Mux(step.last_pass, product.last_token, sizes.tokens - 1)),
            info.first_pass.eq(step.first_pass),
            info.first_block.eq(step.first_block),
            info.ends.eq(step.last_pass & step.last_block),
            info.mm.eq(product.mm),
            info.dst.eq(product.dst),
            info.stride.eq(product.stride),
            info.outputs.eq(product.outputs),
        ]
        if sizes.sparse:
            m.d.comb += info.segments.eq(
                by_format(m, step.tag, segments_power, name="segments", sparse=True)
            )
        scales = by_format(
            m, step.tag, lambda item: item.scales, name="scales", sparse=sizes.sparse
        )
        for segment, factors in enumerate(row_block.factors):
            for row in range(sizes.rows):
                m.d.comb += factors[row].eq(Mux(scales, block.factors[segment][row], ONE))

    def _limit(self, m: Module, ends: Value, power: Value) -> None:
        """Say whether a row block may end, a cycle ahead; they end every other cycle at most.

        Its product is there, and the output stage can take it by then and keep its results.
        """
        gap = Signal(range(max(2, self.sizes.cycles * self.sizes.segments)))
        under_way = Signal(range(self.sets + 1))
        with m.If(ends):
            m.d.sync += gap.eq((self.sizes.cycles << power) - 1)
        with m.Elif(gap != 0):
            m.d.sync += gap.eq(gap - 1)
        m.d.sync += [
            under_way.eq(under_way + Mux(ends, 1 << power, 0) - self.finished),
            self.may_end.eq(
                ~ends & self.product.valid & (gap <= 1) & (under_way + (1 << power) <= self.sets)
            ),
        ]

    def _weigh(self, m: Module) -> None:
        """Say whether a group may end: its second half waits for what is behind the chains."""
        step = self.block.payload.step
        m.submodules.weighing = weighing = Weighing()
        m.d.comb += [
            weighing.format.eq(step.tag),
            weighing.second.eq(self.fires & step.half),
            self.may_weigh.eq(~weighing.busy),
        ]

    def _queue(
        self, m: Module, name: str, port: stream.Interface, depth: int, enters: Value
    ) -> data.View:
        """Return what is put into a queue behind an output, which never overflows."""
        shape = port.payload.shape()
        m.submodules[name] = queue = RegisteredFifo(shape=shape, depth=max(3, depth))
        given = Signal(shape, name=name)
        m.d.comb += [queue.items.payload.eq(given), queue.items.valid.eq(enters)]
        connect(m, queue.taken, flipped(port))
        return given
