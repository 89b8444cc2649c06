"""What a run took: cycles, bytes, and what each engine did, counted in one memory."""

from amaranth.hdl import Array, Module, Mux, Signal
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import Component, In, Out

from alula.gateware.control.activity import Activity
from alula.isa.instructions import Engine

BITS = 64
CYCLES = len(Engine) * len(Activity)
"""Row of cycles; before it `len(Activity)` rows of each engine, behind it bytes read, written."""
READ, WRITTEN = CYCLES + 1, CYCLES + 2
ROWS = CYCLES + 3
LATENCY = ROWS + 2
"""Cycles, at most, from the first cycle of `ask` to `valid`."""


class Counters(Component):
    """Counters of 64 bits, a row of memory each, and one adder for all.

    What a row gains is kept in a few bits beside the memory until the row's turn comes: a row a
    cycle, in order. A row is read, with what it has gained, in one cycle, added up in the next, and
    written in a third. What is asked for is shown when its turn comes: within `LATENCY` cycles.

    Args:
        step: The most that READ and WRITTEN gain in a cycle.

    Members:
        clear: All are zero from the next cycle on.
        running: Count in this cycle: 1 to CYCLES, `read` and `written` to READ and WRITTEN, and
            for each engine 1 to the row of its `use`.
        ask: Show the row `index`; both stay until `valid`.
        valid: For one cycle, `value` is the row that was asked for, as it was 2 cycles ago.
        value: The row.
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
                "use": In(Activity).array(len(Engine)),
                "ask": In(1),
                "index": In(range(ROWS)),
                "valid": Out(1),
                "value": Out(BITS),
            }
        )

    def elaborate(self, platform: object) -> Module:
        """Make the module."""
        m = Module()
        m.submodules.sums = sums = Memory(shape=BITS, depth=ROWS, init=[])
        write, read = sums.write_port(), sums.read_port(domain="comb")
        turn, turns = Signal(range(ROWS)), Signal(ROWS, init=1)
        cleared = Signal(ROWS, init=(1 << ROWS) - 1)
        gains = [self.use[engine] == use for engine in Engine for use in Activity]
        gains += [1, self.read, self.written]
        most = [1] * (CYCLES + 1) + [self.step, self.step]
        pending = [
            Signal(range(ROWS * gain + 1), name=f"pending_{number}")
            for number, gain in enumerate(most)
        ]
        works, asked = Signal(), Signal()
        # A row's turn, its sum, and the sum's way into the memory: a cycle each.
        adds, writes = Signal(), Signal()
        adding, writing = Signal(range(ROWS)), Signal(range(ROWS))
        kept, gained = Signal(BITS), Signal(range(ROWS * self.step + 1))
        m.d.comb += [
            read.addr.eq(turn),
            write.addr.eq(writing),
            write.data.eq(self.value),
            write.en.eq(writes),
        ]
        m.d.sync += [
            works.eq(self.running | self.ask),
            adds.eq(works),
            asked.eq(works & self.ask & (turn == self.index)),
            writes.eq(adds),
            self.valid.eq(asked),
        ]
        with m.If(works):
            m.d.sync += [
                turn.eq(Mux(turn == ROWS - 1, 0, turn + 1)),
                turns.eq(turns.rotate_left(1)),
                adding.eq(turn),
                kept.eq(Mux(cleared.bit_select(turn, 1), 0, read.data)),
                gained.eq(Array(pending)[turn]),
            ]
        with m.If(adds):
            m.d.sync += [writing.eq(adding), self.value.eq(kept + gained)]
        for number, (waits, gain) in enumerate(zip(pending, gains, strict=True)):
            here = works & turns[number]
            m.d.sync += waits.eq(Mux(here, 0, waits) + Mux(self.running, gain, 0))
            with m.If(writes & (writing == number)):
                m.d.sync += cleared[number].eq(0)
        with m.If(self.clear):
            m.d.sync += [cleared.eq(~0), *(waits.eq(0) for waits in pending)]
            m.d.sync += [adds.eq(0), writes.eq(0)]
        return m
