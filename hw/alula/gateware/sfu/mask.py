"""Which lanes of a word count."""

from amaranth.hdl import Module, Mux, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from alula.gateware.sfu.plan import plan


class SfuMask(wiring.Component):
    """The lanes of each word of a pass that hold elements of the row.

    Args:
        lanes: fp32 values of a word.

    Members:
        start (In): a pass starts.
        now (In): the pass that runs, from `start` on.
        next (In): a word has come.
        mask (Out): the lanes of the word that comes; a register, from the cycle after `start`.
    """

    def __init__(self, *, lanes: int) -> None:
        self.lanes = lanes
        super().__init__({"start": In(1), "now": In(plan), "next": In(1), "mask": Out(lanes)})

    def elaborate(self, platform: object) -> Module:
        """The limit less the words that have come, and the lanes of the one that comes."""
        m = Module()
        now, low = self.now, (self.lanes - 1).bit_length()
        # Of this word and those behind it, when a pass starts; then of those behind it.
        left, behind = Signal(17), Signal(17)
        m.d.comb += left.eq(Mux(self.start, now.limit, behind))
        whole = left[low:].any()
        with m.If(self.start | self.next):
            m.d.sync += behind.eq(Mux(whole, left - self.lanes, 0))
            m.d.sync += [
                lane.eq(~now.limited | ((whole | (left[:low] > index)) & (now.offset <= index)))
                for index, lane in enumerate(self.mask)
            ]
        return m
