"""Which lanes of a word count."""

from amaranth.hdl import Module, Mux, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from alula.gateware.sfu.plan import plan

__all__ = ["SfuMask"]


class SfuMask(wiring.Component):
    """The lanes of each word of a pass that hold elements of the row.

    Args:
        lanes: fp32 values of a word.

    Members:
        start (In): a pass starts.
        limit (In): with `start`, how many elements count.
        now (In): the pass that runs.
        next (In): a word has come.
        mask (Out): the lanes of the word that comes.
    """

    def __init__(self, *, lanes: int) -> None:
        self.lanes = lanes
        super().__init__(
            {"start": In(1), "limit": In(17), "now": In(plan), "next": In(1), "mask": Out(lanes)}
        )

    def elaborate(self, platform: object) -> Module:
        """What is left of the limit."""
        m = Module()
        left = Signal(17)
        for index in range(self.lanes):
            counts = (left > index) & (self.now["offset"] <= index)
            m.d.comb += self.mask[index].eq(~self.now["limited"] | counts)
        with m.If(self.start):
            m.d.sync += left.eq(self.limit)
        with m.Elif(self.next):
            m.d.sync += left.eq(Mux(left > self.lanes, left - self.lanes, 0))
        return m
