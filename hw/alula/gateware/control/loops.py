"""The loops around the sequencer's place in the program."""

from __future__ import annotations

from amaranth.hdl import Array, Module, Signal
from amaranth.lib import data
from amaranth.lib.wiring import Component, In, Out

from alula.isa.instructions import LOOP_DEPTH

__all__ = ["COUNT_BITS", "LoopStack"]

COUNT_BITS = 32
"""Iterations of a loop."""


class LoopStack(Component):
    """Up to `LOOP_DEPTH` loops, the innermost on top. All strobes act at the clock edge.

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
            {"start": self.place_bits, "end": self.place_bits, "left": COUNT_BITS}
        )
        stack = Array(Signal(shape, name=f"loop_{level}") for level in range(LOOP_DEPTH))
        depth = Signal(range(LOOP_DEPTH + 1))
        level = Signal(range(LOOP_DEPTH))
        top = Signal(shape)
        m.d.comb += [
            level.eq(depth - 1),
            top.eq(stack[level]),
            self.empty.eq(depth == 0),
            self.full.eq(depth == LOOP_DEPTH),
            self.top_start.eq(top.start),
            self.top_end.eq(top.end),
            self.again.eq(top.left != 0),
        ]
        with m.If(self.clear):
            m.d.sync += depth.eq(0)
        with m.Elif(self.push):
            m.d.sync += depth.eq(depth + 1)
            with m.Switch(depth):
                for number, loop in enumerate(stack):
                    with m.Case(number):
                        m.d.sync += [
                            loop.start.eq(self.start),
                            loop.end.eq(self.end),
                            loop.left.eq(self.count - 1),
                        ]
        with m.Elif(self.turn):
            with m.If(self.again), m.Switch(level):
                for number, loop in enumerate(stack):
                    with m.Case(number):
                        m.d.sync += loop.left.eq(loop.left - 1)
            with m.Else():
                m.d.sync += depth.eq(depth - 1)
        return m
