"""What a run took: cycles, bytes, and what each engine did, counted in one memory."""

from __future__ import annotations

from amaranth.hdl import Array, Module, Mux, Signal
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import Component, In, Out

from alula.gateware.control.use import Use
from alula.isa.instructions import Engine

__all__ = ["BITS", "CYCLES", "READ", "ROWS", "WRITTEN", "Counters"]

BITS = 64
CYCLES = len(Engine) * len(Use)
"""Row of the cycles. Before it are `len(Use)` rows of each engine, after it bytes read, written."""
READ, WRITTEN = CYCLES + 1, CYCLES + 2
ROWS = CYCLES + 3
_UNSEEN = 2 * ROWS
"""Cycles in which a row is certainly visited, where every second is another row's that is asked."""


class Counters(Component):
    """Counters of 64 bits, a row of memory each, and one adder for all.

    What a row gains is kept in a few bits beside the memory until the row's turn comes: a row a
    cycle, in order, or the one that is asked for. What is asked for is exact in the cycle of
    asking.

    Args:
        step: The most that READ and WRITTEN gain in a cycle.

    Members:
        clear: All are zero from the next cycle on.
        running: Count in this cycle: 1 to CYCLES, `read` and `written` to READ and WRITTEN, and
            for each engine 1 to the row of its `use`.
        ask: Show the row `index`, at most every second cycle.
        value: It, without what it gains in this cycle; in the same cycle.
    """

    def __init__(self, *, step: int) -> None:
        if step < 1:
            raise ValueError(f"step must be at least 1, not {step}")
        self.step = step
        super().__init__(
            {
                "clear": In(1),
                "running": In(1),
                "read": In(range(step + 1)),
                "written": In(range(step + 1)),
                "use": In(Use).array(len(Engine)),
                "ask": In(1),
                "index": In(range(ROWS)),
                "value": Out(BITS),
            }
        )

    def elaborate(self, platform: object) -> Module:
        """Make the module."""
        m = Module()
        m.submodules.sums = sums = Memory(shape=BITS, depth=ROWS, init=[])
        write, read = sums.write_port(), sums.read_port(domain="comb")
        turn, visited = Signal(range(ROWS)), Signal(range(ROWS))
        cleared = Signal(ROWS, init=(1 << ROWS) - 1)
        gains = [self.use[engine] == use for engine in Engine for use in Use]
        gains += [1, self.read, self.written]
        most = [1] * (CYCLES + 1) + [self.step, self.step]
        pending = [
            Signal(range(_UNSEEN * gain + 1), name=f"pending_{number}")
            for number, gain in enumerate(most)
        ]
        m.d.comb += [
            visited.eq(Mux(self.ask, self.index, turn)),
            read.addr.eq(visited),
            self.value.eq(
                Mux(cleared.bit_select(visited, 1), 0, read.data) + Array(pending)[visited]
            ),
            write.addr.eq(visited),
            write.data.eq(self.value),
            write.en.eq(self.running | self.ask),
        ]
        with m.If(self.running & ~self.ask):
            m.d.sync += turn.eq(Mux(turn == ROWS - 1, 0, turn + 1))
        for number, (kept, gain) in enumerate(zip(pending, gains, strict=True)):
            here = write.en & (visited == number)
            m.d.sync += kept.eq(Mux(here, 0, kept) + Mux(self.running, gain, 0))
            with m.If(here):
                m.d.sync += cleared[number].eq(0)
        with m.If(self.clear):
            m.d.sync += [cleared.eq(~0), *(kept.eq(0) for kept in pending)]
        return m
