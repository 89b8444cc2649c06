"""ST's width converter: vector buffer words to beats of fp32."""

from math import gcd

from amaranth.hdl import Cat, Module, Mux, Signal
from amaranth.lib import data, stream
from amaranth.lib.wiring import Component, In, Out

from alula.gateware.memory.write_master import beat_layout


class Pack(Component):
    """Makes the beats of one vector.

    A beat or a word a cycle, whichever are more, where one is a multiple of the other.

    Args:
        channels, beat_bytes: Of the memory.
        lanes: Of the vector buffer.
        most: Elements of the longest vector.

    Members:
        start, count: Begin a vector of so many elements, at least one; only where not `busy`.
        word: Stream of its words. What the vector does not need of its last one is dropped.
        beat: Stream of beats; the elements beyond the vector are not written.
        busy: The last beat has not been taken.
    """

    def __init__(self, *, channels: int, beat_bytes: int, lanes: int, most: int) -> None:
        if channels * beat_bytes % 4:
            raise ValueError(f"a beat must be a multiple of 4 bytes, not {channels * beat_bytes}")
        self.channels, self.beat_bytes, self.lanes, self.most = channels, beat_bytes, lanes, most
        super().__init__(
            {
                "start": In(1),
                "count": In(range(most + 1)),
                "word": In(stream.Signature(data.ArrayLayout(32, lanes))),
                "beat": Out(stream.Signature(beat_layout(channels, beat_bytes))),
                "busy": Out(1),
            }
        )

    def elaborate(self, platform: object) -> Module:
        """Make the module."""
        m = Module()
        elements = self.channels * self.beat_bytes // 4
        piece = gcd(elements, self.lanes)
        left, active = Signal(range(self.most + 1)), Signal()
        word, held = Signal(32 * self.lanes, reset_less=True), Signal()
        used, place = Signal(range(self.lanes)), Signal(range(elements))
        covered, valid = Signal(range(elements + 1)), Signal(range(elements + 1))
        last_beat, full, step = Signal(), Signal(), Signal()
        # No word is held, and one is wanted; the one that is held has one piece left, and another
        # one follows. The next piece is the last of the vector; of a beat.
        wants, drains, finishes, fills = (Signal(name=name) for name in _NEXT)
        moves, flushes, ends = (
            Signal(),
            Signal(),
            Signal(),
        )  # ends: the piece behind the next one finishes
        m.d.comb += [
            moves.eq(~full | self.beat.ready),
            step.eq(held & moves),
            self.word.ready.eq(wants | (drains & moves)),
            self.beat.valid.eq(full),
            self.beat.payload.strobe.eq(Cat((i < valid).replicate(4) for i in range(elements))),
            covered.eq(place + piece),
            flushes.eq(finishes | fills),
            ends.eq(
                Mux(
                    flushes,
                    left <= elements + piece,
                    last_beat & (left[: len(covered) + 1] <= covered + piece),
                )
            ),
            self.busy.eq(active | full),
        ]
        with m.If(self.start):
            m.d.sync += [left.eq(self.count), active.eq(1), place.eq(0), wants.eq(1)]
            m.d.sync += [
                last_beat.eq(self.count <= elements),
                finishes.eq(self.count <= piece),
                fills.eq(piece == elements),
            ]
        with m.If(full & self.beat.ready):
            m.d.sync += full.eq(0)
        with m.If(step):
            with m.Switch(place):
                for first in range(0, elements, piece):
                    with m.Case(first):
                        target = self.beat.payload.data[32 * first : 32 * (first + piece)]
                        m.d.sync += target.eq(word)
            m.d.sync += [
                place.eq(Mux(flushes, 0, covered)),
                used.eq(used + piece),
                held.eq(~finishes),
                finishes.eq(ends),
                drains.eq(~ends & (used == max(self.lanes - 2 * piece, 0))),
                fills.eq(covered == elements - piece),
            ]
            with m.If(flushes):
                m.d.sync += [
                    full.eq(1),
                    valid.eq(Mux(last_beat, left, elements)),
                    left.eq(left - elements),
                    last_beat.eq(left <= 2 * elements),
                    fills.eq(piece == elements),
                ]
            with m.If(finishes):
                m.d.sync += active.eq(0)
        with m.If(self.word.ready):
            m.d.sync += [held.eq(self.word.valid), wants.eq(~self.word.valid), used.eq(0)]
            one = self.word.valid & ~Mux(step, ends, finishes)
            m.d.sync += drains.eq(one if piece == self.lanes else 0)
        # Not by `ready`: all bits depend on this.
        with m.If(wants | step):
            m.d.sync += word.eq(Mux(wants | drains, self.word.payload, word >> 32 * piece))
        return m


_NEXT = ("wants", "drains", "finishes", "fills")
