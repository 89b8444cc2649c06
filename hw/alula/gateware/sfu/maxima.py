"""Maxima of a pass, or of each of its groups."""

from amaranth.hdl import Module, Mux, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from alula.design import GROUP
from alula.gateware.buffers.ports import word
from alula.gateware.sfu.max import INDEX_BITS, SfuMax
from alula.gateware.sfu.plan import plan


class SfuMaxima(wiring.Component):
    """`SfuMax` over the words of a pass, from its first to its last, or over each group's.

    Args:
        lanes: fp32 values of a word.

    Members:
        start (In): a pass starts.
        now (In): the pass that runs, from `start` on.
        scan (In): `word` is scanned.
        word (In): values.
        mask (In): the lanes that count.
        result_valid, result, index (Out): see `SfuMax`.
    """

    def __init__(self, *, lanes: int) -> None:
        self.lanes = lanes
        super().__init__(
            {
                "start": In(1),
                "now": In(plan),
                "scan": In(1),
                "word": In(word(lanes)),
                "mask": In(lanes),
                "result_valid": Out(1),
                "result": Out(32),
                "index": Out(INDEX_BITS),
            }
        )

    def elaborate(self, platform: object) -> Module:
        """Counts of words, and the maximum."""
        m = Module()
        m.submodules.max = top = SfuMax(lanes=self.lanes)
        left, first = Signal(16), Signal()
        words = GROUP // self.lanes
        of_group = Signal(range(words))
        each = self.now.steps
        m.d.comb += [
            top.valid.eq(self.scan),
            top.word.eq(self.word),
            top.mask.eq(self.mask),
            top.absolute.eq(self.now.absolute),
            top.first.eq(Mux(each, of_group == 0, first)),
            top.last.eq(Mux(each, of_group == words - 1, left == 1)),
            self.result_valid.eq(top.result_valid),
            self.result.eq(top.result),
            self.index.eq(top.index),
        ]
        with m.If(self.start):
            m.d.sync += [left.eq(self.now.words), first.eq(1), of_group.eq(0)]
        with m.Elif(self.scan):
            m.d.sync += [left.eq(left - 1), first.eq(0), of_group.eq(of_group + 1)]
        return m
