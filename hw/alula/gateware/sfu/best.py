"""ARGMAX: the largest value of several instructions, and where it was."""

from amaranth.hdl import Module, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from alula.gateware.sfu.max import INDEX_BITS, ordered


class SfuBest(wiring.Component):
    """Keeps the largest value since `forget`; the first of equal ones.

    Members:
        forget (In): what has been seen does not count; not in the cycle after `valid`.
        valid (In): a value is there; not with `forget`.
        value (In): it, fp32.
        index (In): where it is.
        best (Out): where the largest one is, 0 if there was none; of two cycles before.
    """

    forget: In(1)
    valid: In(1)
    value: In(32)
    index: In(INDEX_BITS)
    best: Out(INDEX_BITS)

    def elaborate(self, platform: object) -> Module:
        """Registers, and a comparison a cycle later."""
        m = Module()
        comes, there = Signal(), Signal()
        value, largest = Signal(32, reset_less=True), Signal(32, reset_less=True)
        index = Signal(INDEX_BITS, reset_less=True)
        m.d.sync += comes.eq(self.valid)
        with m.If(self.valid):
            m.d.sync += [value.eq(ordered(self.value)), index.eq(self.index)]
        with m.If(self.forget):
            m.d.sync += [there.eq(0), self.best.eq(0)]
        with m.Elif(comes):
            m.d.sync += there.eq(1)
            with m.If(~there | (value > largest)):
                m.d.sync += [largest.eq(value), self.best.eq(index)]
        return m
