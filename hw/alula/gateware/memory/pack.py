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
        last_beat, spent = Signal(), Signal()  # spent: the next piece is a word's last
        full, step, finishes, flushes = (Signal(name=n) for n in _NAMES)
        fills = Signal()  # the next piece is a beat's last
        m.d.comb += [
            self.word.ready.eq(active & (~held | (step & spent & ~finishes))),
            self.beat.valid.eq(full),
            self.beat.payload.strobe.eq(Cat((i < valid).replicate(4) for i in range(elements))),
            step.eq(active & held & (~full | self.beat.ready)),
            covered.eq(place + piece),
            flushes.eq(finishes | fills),
            self.busy.eq(active | full),
        ]
        with m.If(self.start):
            m.d.sync += [left.eq(self.count), active.eq(1), held.eq(0), place.eq(0)]
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
                word[: -32 * piece].eq(word[32 * piece :]),
                used.eq(used + piece),
                spent.eq(used == self.lanes - 2 * piece),
                held.eq(~finishes),
                finishes.eq(last_beat & (left[: len(covered) + 1] <= covered + piece)),
                fills.eq(covered == elements - piece),
            ]
            with m.If(flushes):
                m.d.sync += [
                    full.eq(1),
                    valid.eq(Mux(last_beat, left, elements)),
                    left.eq(left - elements),
                    last_beat.eq(left <= 2 * elements),
                    finishes.eq(left <= elements + piece),
                    fills.eq(piece == elements),
                ]
            with m.If(finishes):
                m.d.sync += active.eq(0)
        # That a word is there is known late.
        with m.If(self.word.ready):
            m.d.sync += [word.eq(self.word.payload), held.eq(self.word.valid)]
            m.d.sync += [used.eq(0), spent.eq(piece == self.lanes)]
        return m


_NAMES = ("full", "step", "finishes", "flushes")
