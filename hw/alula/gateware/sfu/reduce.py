"""Sums and maxima of passes, and what becomes of them."""

from amaranth.hdl import Module, Mux, Signal, Value
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from alula.gateware.arithmetic.float_format import clean
from alula.gateware.buffers.ports import word
from alula.gateware.control.command import layout
from alula.gateware.sfu.best import SfuBest
from alula.gateware.sfu.max import INDEX_BITS
from alula.gateware.sfu.passes import After
from alula.gateware.sfu.plan import plan
from alula.gateware.sfu.scalar import Scalar, SfuScalar
from alula.gateware.sfu.sum import SfuSum
from alula.isa.instructions import Engine


class SfuReduce(wiring.Component):
    """Finishes a pass's sum or maximum while the next pass reads, and keeps the lanes' factors.

    Args:
        lanes: fp32 values of a word.

    Members:
        instruction (In): the instruction that is there.
        forget (In): ARGMAX begins anew.
        start (In): the pass `now` starts.
        now (In): the pass that runs, from `start` on.
        reduce (In): the pass is over, and what it left is to be finished.
        groups (In): groups of a row.
        sum_valid, sum_word (In): a word of terms.
        max_valid, max, max_index (In): the maximum of a pass, or of a group.
        reducing (Out): a sum or a maximum is not finished. finished (Out): in this cycle it is.
        s, t (Out): the lanes' factors.
        step_valid, step (Out): QUANT's step of a group.
        scale (Out): QUANTKV's scale of a row, bf16.
        argmax (Out): the index that ARGMAX found, 0 if none.
    """

    def __init__(self, *, lanes: int) -> None:
        self.lanes = lanes
        super().__init__(
            {
                "instruction": In(layout(Engine.MISC)),
                "forget": In(1),
                "start": In(1),
                "now": In(plan),
                "reduce": In(1),
                "groups": In(12),
                "sum_valid": In(1),
                "sum_word": In(word(lanes)),
                "max_valid": In(1),
                "max": In(32),
                "max_index": In(INDEX_BITS),
                "reducing": Out(1),
                "finished": Out(1),
                "s": Out(32),
                "t": Out(32),
                "step_valid": Out(1),
                "step": Out(32),
                "scale": Out(16),
                "argmax": Out(INDEX_BITS),
            }
        )

    def elaborate(self, platform: object) -> Module:
        """The sum, the scalar unit, ARGMAX."""
        m = Module()
        m.submodules.sum = total = SfuSum(lanes=self.lanes)
        m.submodules.scalar = scalar = SfuScalar()
        m.submodules.best = best = SfuBest()
        # What the sum or the maximum is for that is being made.
        after, operation, from_sum = Signal(After), Signal(Scalar), Signal()
        results_left, summed, finished = Signal(12), Signal(), self.finished
        command, now = self.instruction, self.now
        m.d.comb += [
            total.valid.eq(self.sum_valid),
            total.word.eq(self.sum_word),
            total.finish.eq(self.reducing & from_sum & ~summed),
            scalar.valid.eq((total.result_valid | self.max_valid) & (after == After.SCALAR)),
            scalar.operation.eq(operation),
            scalar.x.eq(Mux(from_sum, total.result, self.max)),
            scalar.inv.eq(clean(command.inv)),
            scalar.eps.eq(clean(command.eps)),
            best.forget.eq(self.forget),
            best.valid.eq(self.max_valid & (after == After.BEST)),
            best.value.eq(self.max),
            best.index.eq(command.base + self.max_index),
            self.step_valid.eq(scalar.result_valid & (operation == Scalar.STEP)),
            self.step.eq(scalar.result),
            self.scale.eq(scalar.scale),
            self.argmax.eq(best.best),
        ]
        self._factors(m, scalar, after)
        with m.If(scalar.result_valid):
            m.d.sync += results_left.eq(results_left - 1)
        with m.Switch(after):
            with m.Case(After.TOP, After.BEST):
                m.d.comb += finished.eq(self.max_valid)
            with m.Case(After.SCALAR):
                m.d.comb += finished.eq(scalar.result_valid & (results_left == 1))

        with m.If(total.result_valid):
            m.d.sync += summed.eq(1)
        with m.If(finished):
            m.d.sync += [self.reducing.eq(0), summed.eq(0)]
        with m.If(finished | (self.start & ~self.reducing)):
            m.d.sync += [
                after.eq(now.after),
                operation.eq(now.scalar),
                from_sum.eq(now.sums),
                results_left.eq(Mux(now.steps, self.groups, 1)),
            ]
        with m.If(self.reduce):
            m.d.sync += self.reducing.eq(1)
        return m

    def _factors(self, m: Module, scalar: SfuScalar, after: Value) -> None:
        """`s` and `t`, of results and of what a pass starts with."""
        with m.If((after == After.TOP) & self.max_valid):
            m.d.sync += self.s.eq(self.max)
        with m.Elif((after == After.SCALAR) & scalar.result_valid):
            with m.If(scalar.operation == Scalar.MEAN):
                m.d.sync += self.s.eq(scalar.result)
            with m.Else():
                m.d.sync += self.t.eq(scalar.result)
        with m.If(self.start):
            with m.If(self.now.sets_s):
                m.d.sync += self.s.eq(clean(self.now.s))
            with m.If(self.now.sets_t):
                m.d.sync += self.t.eq(clean(self.now.t))
