"""The loops around the sequencer's place in the program."""

from itertools import pairwise

from amaranth.hdl import Cat, Const, Module, Signal
from amaranth.lib import data
from amaranth.lib.wiring import Component, In, Out

from alula.isa.instructions import LOOP_DEPTH

COUNT_BITS = 32
"""Iterations of a loop."""


class LoopStack(Component):
    """Up to `LOOP_DEPTH` loops, the innermost on top. All strobes act at the clock edge.

    Loops move up and down the stack, so that the innermost one is always in the same registers; all
    outputs are registers.

    Args:
        place_bits: Width of a program address.

    Members:
        push: Enter the loop `start`, `end`, `count` (at least 1); only where not `full`.
        turn: The innermost body has been run: again if `again`, else leave the loop.
        clear: Leave all loops.
        empty, full: No loop; no room for one more.
        top_start, top_end: The innermost body's first address, and the one after its last.
        again: The innermost loop has iterations left.
    """

    def __init__(self, *, place_bits: int) -> None:
        if place_bits < 1:
            raise ValueError(f"place_bits must be at least 1, not {place_bits}")
        self.place_bits = place_bits
        super().__init__(
            {
                "push": In(1),
                "start": In(place_bits),
                "end": In(place_bits),
                "count": In(COUNT_BITS),
                "turn": In(1),
                "clear": In(1),
                "empty": Out(1),
                "full": Out(1),
                "top_start": Out(place_bits),
                "top_end": Out(place_bits),
                "again": Out(1),
            }
        )

    def elaborate(self, platform: object) -> Module:
        """Make the module."""
        m = Module()
        shape = data.StructLayout(
            {
                "start": self.place_bits,
                "end": self.place_bits,
                "left": COUNT_BITS,
                "again": 1,  # some are left
            }
        )
        loops = [
            Signal(shape, name=f"loop_{level}", reset_less=True) for level in range(LOOP_DEPTH)
        ]
        top, used = loops[0], Signal(LOOP_DEPTH)
        m.d.comb += [
            self.empty.eq(~used[0]),
            self.full.eq(used[-1]),
            self.top_start.eq(top.start),
            self.top_end.eq(top.end),
            self.again.eq(top.again),
        ]
        with m.If(self.push):
            m.d.sync += [outer.eq(inner) for inner, outer in pairwise(loops)]
            m.d.sync += [
                used.eq(Cat(Const(1, 1), used)),
                top.start.eq(self.start),
                top.end.eq(self.end),
                top.left.eq(self.count - 1),
                top.again.eq(self.count != 1),
            ]
        with m.Elif(self.turn):
            with m.If(self.again):
                m.d.sync += [top.left.eq(top.left - 1), top.again.eq(top.left != 1)]
            with m.Else():
                m.d.sync += [inner.eq(outer) for inner, outer in pairwise(loops)]
                m.d.sync += used.eq(used >> 1)
        with m.If(self.clear):
            m.d.sync += used.eq(0)
        return m
