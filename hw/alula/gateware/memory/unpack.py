"""LD's width converter: rows of fp32 or bf16 from beats to vector buffer words."""

from math import gcd

from amaranth.hdl import Cat, Const, Module, Mux, Signal, Value
from amaranth.lib import data, stream
from amaranth.lib.wiring import Component, In, Out

from alula.gateware.buffers.vector_buffer import address_bits, write_layout

LATENCY = 2
"""Cycles from a beat to its first word."""
_EXPONENT = 0xFF
_LARGEST = 0x7F7F_FFFF
_ELEMENTS = ((0, 4), (1, 2))
"""Whether an element is bf16, and its bytes."""


def clean(bits: Value) -> Value:
    """What enters from memory: exponent 0 to +0, exponent 255 to the largest finite number."""
    exponent = bits[23:31]
    largest = Cat(Const(_LARGEST, 31), bits[31])
    return Mux(exponent == 0, 0, Mux(exponent == _EXPONENT, largest, bits))


def row_layout(words: int, lanes: int) -> data.StructLayout:
    """A row: elements (at least one), destination, element type; `ends` its instruction."""
    return data.StructLayout(
        {"count": range(words * lanes + 1), "dst": address_bits(words), "bf16": 1, "ends": 1}
    )


class Unpack(Component):
    """Makes words of rows that start at beats; zeros fill a row's last word.

    A beat or a word a cycle, whichever are more, where one is a multiple of the other. Otherwise a
    piece a cycle, the largest that both are multiples of.

    Args:
        beat_bytes: Bytes of a whole beat.
        words, lanes: Of the vector buffer.

    Members:
        row: Stream of `row_layout(words, lanes)`, before the row's first beat.
        beat: Stream of beats. What a row does not need of its last one is dropped.
        word: Stream of words to write, cleaned. While its `ready` is low nothing moves, so that
            whether a beat is taken depends on little; it must not wait for `valid`.
        done: For one cycle, the last word of a row that `ends` was taken.
        busy: The row is not over.
    """

    def __init__(self, *, beat_bytes: int, words: int, lanes: int) -> None:
        if beat_bytes < 4 or beat_bytes % 4:
            raise ValueError(f"beat_bytes must be a multiple of 4, not {beat_bytes}")
        self.beat_bytes, self.words, self.lanes = beat_bytes, words, lanes
        super().__init__(
            {
                "row": In(stream.Signature(row_layout(words, lanes))),
                "beat": In(stream.Signature(8 * beat_bytes)),
                "word": Out(stream.Signature(write_layout(words, lanes))),
                "done": Out(1),
                "busy": Out(1),
            }
        )

    def elaborate(self, platform: object) -> Module:
        """Make the module."""
        m = Module()
        lanes = self.lanes
        row, active = Signal(row_layout(self.words, lanes)), Signal()
        beat, held = Signal(8 * self.beat_bytes, reset_less=True), Signal()
        place = Signal(range(lanes))
        raw = Signal(data.ArrayLayout(32, lanes), reset_less=True)
        valid = Signal(range(lanes + 1))
        full, ends = Signal(), Signal()
        step, moves, flushes = Signal(), Signal(), Signal()
        # No beat is held, and one is wanted; the one that is held has one piece left, and another
        # one follows.
        wants, drains = Signal(), Signal()
        covered, after = Signal(range(lanes + 1)), Signal(range(2 * lanes + 1))
        last_word = Signal()
        # The next piece is the row's last; a word's last. The piece behind it is the row's last.
        finishes, fills, closes = Signal(), Signal(), Signal()

        sizes = self._sizes
        # Pieces of the beat that are left, as the place of a 1.
        left = Signal(self.beat_bytes // min(sizes.values()))

        def elements(bf16: Value) -> Value:
            """Return the elements of a piece."""
            return Mux(bf16, *(sizes[kind] // size for kind, size in reversed(_ELEMENTS)))

        piece = elements(row.bf16)
        m.d.comb += [
            self.row.ready.eq(~active),
            self.beat.ready.eq(wants | (drains & self.word.ready)),
            self.word.valid.eq(full),
            self.word.payload.mask.eq(~0),
            moves.eq(active & self.word.ready),
            step.eq(moves & held),
            covered.eq(place + piece),
            after.eq(covered + piece),
            flushes.eq(finishes | fills),
            closes.eq(
                Mux(
                    flushes,
                    row.count <= lanes + piece,
                    last_word & (row.count[: len(after)] <= after),
                )
            ),
            self.done.eq(full & self.word.ready & ends),
            self.busy.eq(active | full),
        ]
        for lane in range(lanes):
            m.d.comb += self.word.payload.data[lane].eq(Mux(lane < valid, clean(raw[lane]), 0))
        with m.If(self.row.valid & ~active):
            coming = self.row.payload
            m.d.sync += [row.eq(coming), active.eq(1), wants.eq(1), place.eq(0)]
            m.d.sync += [
                last_word.eq(coming.count <= lanes),
                finishes.eq(coming.count <= elements(coming.bf16)),
                fills.eq(elements(coming.bf16) == lanes),
            ]
        with m.If(full & self.word.ready):
            m.d.sync += full.eq(0)

        pieces = self._move(
            m, beat, left, raw, wants=wants, moves=moves, bf16=row.bf16, place=place
        )
        # What the next word will be may change until there is one: `step` comes later.
        with m.If(moves):
            m.d.sync += [
                self.word.payload.address.eq(row.dst),
                valid.eq(Mux(last_word, row.count, lanes)),
                ends.eq(row.ends & finishes),
            ]
        with m.If(step):
            m.d.sync += [
                held.eq(~finishes),
                place.eq(Mux(flushes, 0, covered)),
                finishes.eq(closes),
                fills.eq(Mux(flushes, piece, after) == lanes),
                drains.eq(left.rotate_right(1)[0] & ~closes),
            ]
            with m.If(flushes):
                m.d.sync += [
                    full.eq(1),
                    row.dst.eq(row.dst + 1),
                    row.count.eq(row.count - lanes),
                    last_word.eq(row.count <= 2 * lanes),
                ]
            with m.If(finishes):
                m.d.sync += active.eq(0)
        with m.If(self.beat.ready):
            more = self.beat.valid & pieces[0] & ~Mux(step, closes, finishes)
            m.d.sync += [held.eq(self.beat.valid), wants.eq(~self.beat.valid), drains.eq(more)]
        return m

    @property
    def _sizes(self) -> dict[int, int]:
        """Bytes of a piece, whether or not the elements are bf16."""
        return {bf16: gcd(self.beat_bytes // size, self.lanes) * size for bf16, size in _ELEMENTS}

    def _move(
        self, m: Module, beat: Signal, left: Signal, raw: data.View, *,
        wants: Signal, moves: Signal, bf16: Value, place: Signal,
    ) -> Signal:  # fmt: skip
        """Take a beat, or go on to the next piece of one; put elements into their places of a word.

        A beat comes where none is held or the last piece of one leaves. That it does is known late:
        until then it matters not what is here. Return what is `left` of a new beat.
        """
        rest, pieces = Signal.like(beat), Signal.like(left)
        with m.If(wants | moves):
            with m.If(wants | left[0]):
                m.d.sync += [beat.eq(self.beat.payload), left.eq(pieces)]
            with m.Else():
                m.d.sync += [beat.eq(rest), left.eq(left.rotate_right(1))]

        for kind, size in _ELEMENTS:
            taken = self._sizes[kind]
            count = taken // size
            with m.If(bf16 == kind):
                m.d.comb += [
                    rest.eq(Cat(beat[8 * taken :], self.beat.payload[-8 * taken :])),
                    pieces.eq(1 << self.beat_bytes // taken - 1),
                ]
                values = [
                    Cat(Const(0, 32 - 8 * size), beat[8 * size * i : 8 * size * (i + 1)])
                    for i in range(count)
                ]
                with m.If(moves), m.Switch(place):
                    for start in range(0, self.lanes, count):
                        with m.Case(start) if count < self.lanes else m.Default():
                            m.d.sync += [raw[start + i].eq(value) for i, value in enumerate(values)]
        return pieces
