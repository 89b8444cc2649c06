"""Addresses of nested loops."""

from amaranth.hdl import Array, Cat, Const, Module, Mux, Signal, Value
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
        # Addresses left of each level, this one among them; whether it is the last, the one before.
        left = [Signal(16, name=f"left{level}", reset_less=True) for level in range(LEVELS)]
        last, nearly = Signal(LEVELS), Signal(LEVELS)
        bases = [Signal(17, name=f"base{level}", reset_less=True) for level in range(LEVELS)]
        # The innermost level that is not at its last address: its base moves, and those within.
        moving = Signal(range(LEVELS))
        one, two = Signal(LEVELS), Signal(LEVELS)
        moved, coming = Signal(17), Signal(LEVELS)
        m.d.comb += [
            self.turn.eq(last[0]),
            self.address.eq(bases[0]),
            moved.eq(Array(bases)[moving] + Array(strides)[moving]),
        ]
        m.d.sync += [
            one.eq(Cat(count == 1 for count in counts)),
            two.eq(Cat(count == 2 for count in counts)),
        ]
        with m.If(self.start):
            first = Cat(count == 1 for count in counts)
            m.d.sync += [self.active.eq(1), last.eq(first), moving.eq(_innermost(~first))]
            m.d.sync += nearly.eq(Cat(count == 2 for count in counts))
            m.d.sync += [base.eq(self.path.base) for base in bases]
            m.d.sync += [mine.eq(count) for mine, count in zip(left, counts, strict=True)]
        with m.Elif(self.active & self.next):
            m.d.sync += [last.eq(coming), moving.eq(_innermost(~coming))]
            with m.If((moving == LEVELS - 1) & last[LEVELS - 1]):
                m.d.sync += self.active.eq(0)
            for level in range(LEVELS):
                with m.If(moving >= level):
                    m.d.sync += bases[level].eq(moved)
                with m.If(moving > level):
                    m.d.sync += [left[level].eq(counts[level]), nearly[level].eq(two[level])]
                with m.Elif(moving == level):
                    m.d.sync += left[level].eq(left[level] - 1)
                    m.d.sync += nearly[level].eq(left[level] == 3)
        for level in range(LEVELS):
            again = Mux(moving > level, one[level], last[level])
            m.d.comb += coming[level].eq(Mux(moving == level, nearly[level], again))
        return m


def _innermost(turns: Value) -> Value:
    """Return the lowest level that has not come to its end; the highest if all have."""
    found: Value = Const(LEVELS - 1)
    for level in reversed(range(LEVELS - 1)):
        found = Mux(turns[level], level, found)
    return found
