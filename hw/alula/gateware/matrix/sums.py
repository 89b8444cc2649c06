"""Behind the chains: sums are weighed, scaled and accumulated until a row block is complete."""

from collections.abc import Sequence

from amaranth.hdl import Cat, Module, Signal, signed
from amaranth.lib import data, stream
from amaranth.lib.wiring import Component, In, Member, Out

from alula.gateware.hdl.delay import delayed
from alula.gateware.hdl.repeat import shared
from alula.gateware.matrix.accumulator import (
    ACCUMULATOR_BITS,
    FACTOR,
    Accumulator,
    AccumulatorControl,
)
from alula.gateware.matrix.chain import TOTAL_BITS
from alula.gateware.matrix.layout import group_layout, row_block_layout
from alula.gateware.matrix.output_stage import info_layout
from alula.gateware.matrix.sizes import MatrixSizes


class Sums(Component):
    """The accumulators of all rows and tokens, of a machine without patterns.

    Args:
        sizes (MatrixSizes): Of the engine.

    Members:
        valid, half (In(1)): A block leaves the chains; which half of a group.
        totals (In(rows x tokens x 20), signed): Of that block.
        group (In stream of `group_layout`): Each group; taken with its second half.
        row_block (In stream of `row_block_layout`): Each row block and pass; taken with its last
            segment.
        start, info, accumulators (Out): To `OutputStage`.
        taken (In(1)): From it.
        overflow (Out(1)): From ``start`` to ``taken``: an accumulator that counts does not fit.
    """

    factor_latency = FACTOR

    def __init__(self, sizes: MatrixSizes) -> None:
        self.sizes = sizes
        super().__init__(
            {
                "valid": In(1),
                "half": In(1),
                "totals": In(self._grid(signed(TOTAL_BITS))),
                "group": In(stream.Signature(group_layout(sizes))),
                "row_block": In(stream.Signature(row_block_layout(sizes))),
                "start": Out(1),
                "info": Out(info_layout(sizes)),
                "accumulators": Out(self._grid(signed(ACCUMULATOR_BITS))),
                "taken": In(1),
                "overflow": Out(1),
            }
            | self._more()
        )

    def _grid(self, shape: object) -> data.ArrayLayout:
        """One of each row and token."""
        return data.ArrayLayout(data.ArrayLayout(shape, self.sizes.tokens), self.sizes.rows)

    def _more(self) -> dict[str, Member]:
        """Further members."""
        return {}

    def elaborate(self, platform: object) -> Module:
        """Make the module."""
        m = Module()
        group = self.group.payload
        now = Signal(group.shape(), reset_less=True)
        m.submodules.control = control = self._control()
        m.d.comb += [
            self.group.ready.eq(self.valid & self.half),
            control.valid.eq(self.valid),
            control.half.eq(self.half),
            control.first.eq(group.first),
            control.last.eq(group.last),
        ]
        with m.If(self.valid & self.half):
            m.d.sync += now.eq(group)
        factor = delayed(m, now.factor, self.factor_latency - 1, name="factor", reset_less=True)[-1]

        overflows = []
        for row in range(self.sizes.rows):
            metas = [plane[row] for plane in now.metas]
            for token, accumulator in enumerate(self._accumulators(m, control, metas, row)):
                m.submodules[f"accumulator_{row}_{token}"] = shared(accumulator)
                m.d.comb += [
                    accumulator.control.eq(control.control),
                    accumulator.total.eq(self.totals[row][token]),
                    accumulator.sum.eq(now.sum[token]),
                    accumulator.factor.eq(factor[token]),
                    self.accumulators[row][token].eq(accumulator.captured),
                ]
                overflows.append(accumulator.overflow & (token <= self.info.last_token))
        m.d.comb += self.overflow.eq(Cat(overflows).any())
        self._hand_on(m, control)
        return m

    def _control(self) -> Component:
        """Return what all accumulators follow."""
        return AccumulatorControl()

    def _accumulators(
        self, m: Module, control: Component, metas: list, row: int
    ) -> Sequence[Component]:
        """Return a row's accumulators, which weigh by its scale and min."""
        found = [Accumulator(bits=self.sizes.accumulator_bits) for _ in range(self.sizes.tokens)]
        for accumulator in found:
            m.d.comb += [accumulator.scale.eq(metas[0]), accumulator.minimum.eq(metas[1])]
        return found

    def _hand_on(self, m: Module, control: Component) -> None:
        """Hand each row block to the output stage."""
        m.d.comb += [
            self.start.eq(control.captured),
            self.info.eq(self.row_block.payload.info),
            self.info.factor.eq(self.row_block.payload.factors[0]),
            self.row_block.ready.eq(self.taken),
        ]
