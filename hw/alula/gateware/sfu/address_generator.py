"""Addresses of nested loops."""

from amaranth.hdl import Module, Mux, Signal
from amaranth.lib import wiring
from amaranth.lib.data import ArrayLayout, StructLayout
from amaranth.lib.wiring import In, Out

LEVELS = 4

path = StructLayout({"base": 17, "counts": ArrayLayout(16, LEVELS), "strides": ArrayLayout(16, 4)})
"""Nested loops: level 0 turns fastest. No count is 0. Addresses have one bit more than those
of the largest buffer, so that the first one beyond it is seen as such."""


class AddressGenerator(wiring.Component):
    """One address after the other of `base + sum(i[k] * strides[k])`, `i[k]` below `counts[k]`.

    Members:
        start (In): take the base of `path`; that first address is there in the next cycle.
        path (In): holds still from `start` until the last address.
        next (In): the address has been used.
        active (Out): there is an address.
        address (Out): the address.
        turn (Out): it is the last one of its level 0.
    """

    start: In(1)
    path: In(path)
    next: In(1)
    active: Out(1)
    address: Out(17)
    turn: Out(1)

    def elaborate(self, platform: object) -> Module:
        """A counter and a base for each level, one adder."""
        m = Module()
        counts, strides = self.path.counts, self.path.strides
        # Addresses left of each level, this one among them; whether this one is the last.
        left = [Signal(16, name=f"left{level}", reset_less=True) for level in range(LEVELS)]
        last = [Signal(name=f"last{level}") for level in range(LEVELS)]
        bases = [Signal(17, name=f"base{level}", reset_less=True) for level in range(LEVELS)]
        m.d.comb += [self.turn.eq(last[0]), self.address.eq(bases[0])]
        base, stride = bases[-1], strides[LEVELS - 1]
        for level in reversed(range(LEVELS - 1)):
            base = Mux(last[level], base, bases[level])
            stride = Mux(last[level], stride, strides[level])
        moved = Signal(17)
        m.d.comb += moved.eq(base + stride)

        def begin(level: int) -> list:
            return [left[level].eq(counts[level]), last[level].eq(counts[level] == 1)]

        with m.If(self.start):
            m.d.sync += self.active.eq(1)
            m.d.sync += [base.eq(self.path.base) for base in bases]
            m.d.sync += [begin(level) for level in range(LEVELS)]
        with m.Elif(self.active & self.next):
            done = 1
            for level in range(LEVELS):
                with m.If(done):
                    m.d.sync += bases[level].eq(moved)
                    with m.If(last[level]):
                        m.d.sync += begin(level)
                    with m.Else():
                        m.d.sync += left[level].eq(left[level] - 1)
                        m.d.sync += last[level].eq(left[level] == 2)
                done = done & last[level]
            with m.If(done):
                m.d.sync += self.active.eq(0)
        return m
