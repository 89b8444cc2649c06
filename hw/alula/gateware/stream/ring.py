"""A FIFO of beats that is read in quarters of a beat and can be read again."""

from amaranth.hdl import Cat, Module, Mux, Signal, Value
from amaranth.lib import data, stream
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import Component, In, Out

from alula.isa.formats import QUARTERS

__all__ = ["MAX_STEP", "Ring"]

MAX_STEP = 2 * QUARTERS
"""Quarters that one read can advance."""


class Ring(Component):
    """Beats in order, with two read pointers: one walks, one stays where the walker can return to.

    Space is freed as far as the second pointer has come.

    Args:
        width (int): Bits of a beat.
        depth (int): Beats, at least 4; even if ``pair``.
        pair (bool): Hand out the next beat too: the memory is two banks, even and odd beats.

    Members:
        write (In stream of ``width``): Beats.
        step (In(4)): Quarters that the next read takes, 0 to 8, of one beat, or two if ``pair``.
        available (Out(1)): That much is there. Combinational in ``step``.
        next (In(1)): Read at the walker and move it by ``step``; only while ``available``.
        keep (In(1)): With ``next``: the second pointer stays. Otherwise it follows the walker.
        back (In(1)): With ``next`` and ``keep``: the walker returns to the second pointer.
        align (In(1)): With ``next``: what is left of the beat is skipped.
        free (Out(range(depth + 1))): Beats that can be written before anything is read.
        beats (Out(2 x width), or (1 x width)): What the last ``next`` read, one cycle later, until
            the next one.
        phase (Out(2)): Where in the first beat it begins.
        empty (Out(1)): Nothing is held.
    """

    def __init__(self, *, width: int, depth: int, pair: bool = False) -> None:
        if width < 1:
            raise ValueError(f"width must be at least 1, not {width}")
        if depth < 4 or (pair and depth % 2):
            kind = "even and at least 4" if pair else "at least 4"
            raise ValueError(f"depth must be {kind}, not {depth}")
        self.width = width
        self.depth = depth
        self.pair = bool(pair)
        super().__init__(
            {
                "write": In(stream.Signature(width)),
                "step": In(range(MAX_STEP + 1)),
                "available": Out(1),
                "next": In(1),
                "keep": In(1),
                "back": In(1),
                "align": In(1),
                "free": Out(range(depth + 1)),
                "beats": Out(data.ArrayLayout(width, 1 + self.pair)),
                "phase": Out(2),
                "empty": Out(1),
            }
        )

    def elaborate(self, platform: object) -> Module:
        """Make the module."""
        m = Module()
        quarters = QUARTERS * self.depth
        writer = Signal(range(self.depth))
        walker, stayed = Signal(range(quarters)), Signal(range(quarters))
        # Quarters between each pointer and the writer.
        ahead, held = Signal(range(quarters + 1)), Signal(range(quarters + 1))
        written = Signal()
        m.d.comb += [
            self.free.eq((quarters - held) >> 2),
            self.write.ready.eq(self.free != 0),
            written.eq(self.write.valid & self.write.ready),
            self.available.eq(ahead >= self.step),
            self.empty.eq(held == 0),
        ]
        with m.If(written):
            m.d.sync += writer.eq(Mux(writer == self.depth - 1, 0, writer + 1))

        reached, left = Signal(range(quarters + MAX_STEP)), Signal(range(quarters + 1))
        wrapped = Signal(range(quarters))
        m.d.comb += [
            reached.eq(walker + self.step),
            left.eq(ahead - self.step),
        ]
        with m.If(self.align):
            m.d.comb += [
                reached.eq((walker + self.step + QUARTERS - 1) & ~(QUARTERS - 1)),
                left.eq((ahead - self.step) & ~(QUARTERS - 1)),
            ]
        m.d.comb += wrapped.eq(Mux(reached >= quarters, reached - quarters, reached))
        more = Mux(written, QUARTERS, 0)
        m.d.sync += [ahead.eq(ahead + more), held.eq(held + more)]
        with m.If(self.next):
            m.d.sync += [walker.eq(wrapped), ahead.eq(left + more)]
            with m.If(~self.keep):
                m.d.sync += [stayed.eq(wrapped), held.eq(left + more)]
            with m.Elif(self.back):
                m.d.sync += [walker.eq(stayed), ahead.eq(held + more)]

        beat = walker >> 2
        with m.If(self.next):
            m.d.sync += self.phase.eq(walker[:2])
        if self.pair:
            self._banks(m, writer, written, beat)
        else:
            m.submodules.memory = memory = Memory(shape=self.width, depth=self.depth, init=[])
            self._write(m, memory, writer, written)
            self._read(m, memory, beat, self.beats[0])
        return m

    def _banks(self, m: Module, writer: Value, written: Value, beat: Value) -> None:
        words = []
        for number in range(2):
            bank = Memory(shape=self.width, depth=self.depth // 2, init=[])
            m.submodules[f"bank_{number}"] = bank
            self._write(m, bank, writer >> 1, written & (writer[0] == number))
            row: Value = beat >> 1
            if number == 0:
                # The even beat from here on; it stands at the start when the last one is odd.
                row = Mux(beat == self.depth - 1, 0, (beat + 1) >> 1)
            word = Signal(self.width, name=f"word_{number}")
            self._read(m, bank, row, word)
            words.append(word)
        odd = Signal()
        with m.If(self.next):
            m.d.sync += odd.eq(beat[0])
        m.d.comb += self.beats.eq(Mux(odd, Cat(words[1], words[0]), Cat(*words)))

    def _write(self, m: Module, memory: Memory, address: Value, enable: Value) -> None:
        port = memory.write_port()
        m.d.comb += [
            port.addr.eq(address),
            port.data.eq(self.write.payload),
            port.en.eq(enable),
        ]

    def _read(self, m: Module, memory: Memory, address: Value, target: Value) -> None:
        port = memory.read_port()
        m.d.comb += [port.addr.eq(address), port.en.eq(self.next), target.eq(port.data)]
