"""Addresses of nested loops."""

from amaranth.hdl import Module, Mux, Signal
from amaranth.lib import wiring
from amaranth.lib.data import ArrayLayout, StructLayout
from amaranth.lib.wiring import In, Out

__all__ = ["LEVELS", "Walk", "path"]

LEVELS = 4

path = StructLayout({"base": 17, "counts": ArrayLayout(16, LEVELS), "strides": ArrayLayout(16, 4)})
"""Where a walk goes: level 0 turns fastest. No count is 0. Addresses have one bit more than those
of the largest buffer, so that the first one beyond it is seen as such."""


class Walk(wiring.Component):
    """One address after the other of `base + sum(i[k] * strides[k])`, `i[k]` below `counts[k]`.

    Members:
        start (In): take the base of `path`; that first address is there in the next cycle.
        path (In): counts and strides hold still from the cycle after `start` until the walk is
            over.
        next (In): the address has been used.
        active (Out): there is an address.
        address (Out): the address.
        place (Out): its number in its level 0, from 1.
        turn (Out): it is the last one of its level 0.
    """

    start: In(1)
    path: In(path)
    next: In(1)
    active: Out(1)
    address: Out(17)
    place: Out(16)
    turn: Out(1)

    def elaborate(self, platform: object) -> Module:
        """A counter and a base for each level, one adder."""
        m = Module()
        counters = [Signal(16, name=f"counter{level}", init=1) for level in range(LEVELS)]
        bases = [self.address] + [Signal(17, name=f"base{level}") for level in range(1, LEVELS)]
        last = [counter == self.path["counts"][level] for level, counter in enumerate(counters)]
        m.d.comb += [self.turn.eq(last[0]), self.place.eq(counters[0])]
        base, stride = bases[-1], self.path["strides"][LEVELS - 1]
        for level in reversed(range(LEVELS - 1)):
            base = Mux(last[level], base, bases[level])
            stride = Mux(last[level], stride, self.path["strides"][level])
        moved = Signal(17)
        m.d.comb += moved.eq(base + stride)
        with m.If(self.start):
            m.d.sync += self.active.eq(1)
            m.d.sync += [base.eq(self.path["base"]) for base in bases]
            m.d.sync += [counter.eq(1) for counter in counters]
        with m.Elif(self.active & self.next):
            done = 1
            for level in range(LEVELS):
                with m.If(done):
                    with m.If(last[level]):
                        m.d.sync += counters[level].eq(1)
                    with m.Else():
                        m.d.sync += counters[level].eq(counters[level] + 1)
                    m.d.sync += bases[level].eq(moved)
                done = done & last[level]
            with m.If(done):
                m.d.sync += self.active.eq(0)
        return m
