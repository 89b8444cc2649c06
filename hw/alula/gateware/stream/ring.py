"""A FIFO of beats that is read in quarters of a beat and can be read again."""

from amaranth.hdl import Array, Cat, Module, Mux, Signal, Value
from amaranth.lib import data, stream
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import Component, In, Out

from alula.isa.formats import QUARTERS

MAX_STEP = 2 * QUARTERS
"""Quarters that one read can advance."""


class Ring(Component):
    """Beats in order, with two read pointers: one walks, one stays where the walker can return to.

    Space is freed as far as the second pointer has come. Whether the next read can be is known from
    registers: the reader says a cycle ahead what it will ask for.

    Args:
        width (int): Bits of a beat.
        depth (int): Beats, at least 4; even if ``pair``.
        pair (bool): Hand out the next beat too: the memory is two banks, even and odd beats.

    Members:
        write (In stream of ``width``): Beats.
        step (In(4)): Quarters that the next read takes, 0 to 8, of one beat, or two if ``pair``.
        following (In(4)): What ``step`` is in the next cycle if ``moves``; else it stays.
        moves (In(1)): The read is over, or there is none: ``step`` is 0.
        available (Out(1)): In the next cycle, what ``step`` takes then was written three cycles
            before or earlier. Known a cycle late after ``align`` with fewer than 8 beats.
        next (In(1)): Read at the walker and move it by ``step``; only where this was ``available``
            a cycle before, with ``moves``.
        keep (In(1)): With ``next``: the second pointer stays. Otherwise it follows the walker.
        back (In(1)): With ``next`` and ``keep``: the walker returns to the second pointer.
        align (In(1)): With ``next``: what is left of the beat is skipped.
        free (Out(range(depth + 1))): Beats that can be written before anything is read; it knows of
            a read a cycle later. A register.
        beats (Out(2 x width), or (1 x width)): What the last ``next`` read, one cycle later, until
            the next one.
        phase (Out(2)): Where in the first beat it begins.
        empty (Out(1)): Nothing is held. A register.
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
                "following": In(range(MAX_STEP + 1)),
                "moves": In(1),
                "available": Out(1),
                "next": In(1),
                "keep": In(1),
                "back": In(1),
                "align": In(1),
                "free": Out(range(depth + 1), init=depth),
                "beats": Out(data.ArrayLayout(width, 1 + self.pair)),
                "phase": Out(2),
                "empty": Out(1, init=1),
            }
        )

    def elaborate(self, platform: object) -> Module:
        """Make the module."""
        m = Module()
        writer = Signal(range(self.depth))
        walker, stayed = Signal(range(self._quarters)), Signal(range(self._quarters))
        written = Signal()
        room = Signal(init=1)
        m.d.comb += [
            self.write.ready.eq(room),
            written.eq(self.write.valid & self.write.ready),
        ]
        with m.If(written):
            m.d.sync += writer.eq(self._wrapped(writer + 1, self.depth))

        way, target = Signal(range(MAX_STEP + QUARTERS)), Signal.like(walker)
        m.d.comb += [
            way.eq(self.step + Mux(self.align, QUARTERS - 1, 0)),
            target.eq(self._wrapped(walker + way, self._quarters)),
        ]
        with m.If(self.align):
            m.d.comb += target[:2].eq(0)
        with m.If(self.next):
            m.d.sync += [walker.eq(target), self.phase.eq(walker[:2])]
            with m.If(~self.keep):
                m.d.sync += stayed.eq(target)
            with m.Elif(self.back):
                m.d.sync += walker.eq(stayed)
        self._count(m, written, room)

        beat = walker >> 2
        if self.pair:
            self._banks(m, writer, written, beat)
        else:
            m.submodules.memory = memory = Memory(shape=self.width, depth=self.depth, init=[])
            self._write(m, memory, writer, written)
            self._read(m, memory, beat, self.beats[0])
        return m

    @property
    def _quarters(self) -> int:
        return QUARTERS * self.depth

    def _wrapped(self, value: Value, size: int) -> Value:
        """A number below twice `size`, modulo `size`: both sums are made at the same time."""
        if size & size - 1 == 0:
            return value[: size.bit_length() - 1]
        below = value - size
        return Mux(below < 0, value, below)

    def _count(self, m: Module, written: Signal, room: Signal) -> None:
        """Quarters between each pointer and the writer, and what follows from them.

        Beats are counted a cycle after they were written; `fresh` are those that are not yet.
        """
        ahead = Signal(range(self._quarters + 1))
        held = Signal(range(self._quarters + 1))
        wrote, fresh = Signal(), Signal(2)
        more, change = Signal(range(QUARTERS + 1)), Signal(range(-MAX_STEP, QUARTERS + 1))
        left = Signal.like(ahead)
        m.d.sync += wrote.eq(written)
        m.d.comb += [
            fresh.eq(wrote + written),
            more.eq(Mux(wrote, QUARTERS, 0)),
            change.eq(more - self.step),
            left.eq(ahead + change),
        ]
        with m.If(self.align):
            m.d.comb += left[:2].eq(0)
        m.d.sync += [ahead.eq(ahead + more), held.eq(held + more)]
        with m.If(self.next):
            m.d.sync += ahead.eq(left)
            with m.If(~self.keep):
                m.d.sync += held.eq(left)
            with m.Elif(self.back):
                m.d.sync += ahead.eq(held + more)

        low = (2 * MAX_STEP + QUARTERS - 1).bit_length()

        def enough(count: Signal, least: Value) -> Value:
            """Few bits are compared: what more there is, is enough for two reads of any size."""
            return count[low:].any() | (count[:low] >= least)

        with m.If(~self.moves):
            m.d.comb += self.available.eq(enough(ahead, self.step))
        with m.Elif(self.back):
            m.d.comb += self.available.eq(enough(held, self.following))
        with m.Elif(self.align):
            m.d.comb += self.available.eq(ahead[low:].any())
        with m.Else():
            m.d.comb += self.available.eq(enough(ahead, self.step + self.following))
        places = Array(held <= self._quarters - QUARTERS * (1 + count) for count in range(3))
        m.d.sync += [
            room.eq(places[fresh]),
            self.free.eq((self._quarters - held - QUARTERS * fresh) >> 2),
            self.empty.eq(~held.any() & (fresh == 0)),
        ]

    def _banks(self, m: Module, writer: Value, written: Value, beat: Value) -> None:
        words = []
        for number in range(2):
            bank = Memory(shape=self.width, depth=self.depth // 2, init=[])
            m.submodules[f"bank_{number}"] = bank
            self._write(m, bank, writer >> 1, written & (writer[0] == number))
            row: Value = beat >> 1
            if number == 0:
                # The even beat from here on; it is at the start when the last one is odd.
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
