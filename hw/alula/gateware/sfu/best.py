"""ARGMAX: the largest value of several instructions, and where it was."""

from amaranth.hdl import Module, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from alula.gateware.sfu.max import INDEX_BITS, ordered


class SfuBest(wiring.Component):
    """Keeps the largest value since it was told to forget; the first of equal ones.

    Members:
        forget (In): what has been seen does not count.
        valid (In): a value is there; not with `forget`.
        value (In): it, fp32.
        index (In): where it is.
        best (Out): where the largest one is, 0 if there was none.
    """

    forget: In(1)
    valid: In(1)
    value: In(32)
    index: In(INDEX_BITS)
    best: Out(INDEX_BITS)

    def elaborate(self, platform: object) -> Module:
        """A register and a comparison."""
        m = Module()
        largest, there = Signal(32), Signal()
        with m.If(self.forget):
            m.d.sync += [there.eq(0), self.best.eq(0)]
        with m.Elif(self.valid):
            m.d.sync += there.eq(1)
            with m.If(~there | (ordered(self.value) > ordered(largest))):
                m.d.sync += [largest.eq(self.value), self.best.eq(self.index)]
        return m
