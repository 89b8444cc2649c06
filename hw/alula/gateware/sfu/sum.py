"""SUM: 64 partial sums that go round through the adders, and the tree over them."""

from collections.abc import Sequence
from functools import reduce
from operator import or_

from amaranth.hdl import (
    EnableInserter,
    Module,
    Mux,
    ResetInserter,
    Signal,
    Value,
    ValueLike,
)
from amaranth.lib import wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out
from amaranth.utils import ceil_log2

from alula.gateware.arithmetic import float_add
from alula.gateware.arithmetic.float_add import FloatAdd
from alula.gateware.buffers.ports import word
from alula.gateware.hdl.delay import delayed
from alula.gateware.hdl.repeat import shared
from alula.isa.formats import PARTIAL_SUMS

_SHORTEST = 1 << (float_add.LATENCY + 1).bit_length()
"""Words on a round through the adders, a memory and the register behind it, at least."""


def latency(lanes: int) -> int:
    """Cycles between the last word and the sum, where `finish` comes two cycles after that word.

    Words of partial sums go round once for each level of the tree that joins words, those that do
    not count any more only as far as the way is long. A level within a word takes the adder's time
    and a cycle.
    """
    words = PARTIAL_SUMS // lanes
    rounds = sum(min(words, max(words >> level, _SHORTEST)) for level in range(ceil_log2(words)))
    return 2 + rounds + (1 + ceil_log2(lanes)) * float_add.LATENCY + ceil_log2(lanes)


class SumLane(wiring.Component):
    """An adder that holds its stages unless `advance` is high.

    Members:
        advance (In): go on by a cycle.
        clear (In): everything that is under way becomes +0.
        a, b (In): fp32 operands.
        result (Out): their sum, `float_add.LATENCY` advances later.
    """

    advance: In(1)
    clear: In(1)
    a: In(32)
    b: In(32)
    result: Out(32)

    def elaborate(self, platform: object) -> Module:
        """The adder."""
        m = Module()
        adder = FloatAdd()
        m.submodules.adder = ResetInserter(self.clear)(EnableInserter(self.advance)(adder))
        m.d.comb += [
            adder.valid.eq(1),
            adder.a.eq(self.a),
            adder.b.eq(self.b),
            self.result.eq(adder.result),
        ]
        return m


class SfuSum(wiring.Component):
    """The sum of words that come at any pace, a word a cycle at most.

    The words of partial sums are `PARTIAL_SUMS / lanes`. They go round: through the adders, and
    where they are more than the adders hold, through a memory. All go on by one place when a word
    comes, so that the partial sum of its terms is at the adders' inputs.

    For the tree they go round without terms. Of `2 * half` words that count, the last `half` of a
    round meet those that came `half` places before; a round without the others follows, if it is
    not too short. Then a word meets its own upper half.

    Args:
        lanes: fp32 values of a word, 2, 4, 8 or 16.

    Members:
        valid (In): `word` is there.
        word (In): terms; those that do not count are zero.
        finish (In): all words have been given; high until `result_valid` and no longer.
        result_valid (Out): high for one cycle.
        result (Out): the sum, until the next one. The next word begins a new sum.
    """

    def __init__(self, *, lanes: int) -> None:
        if lanes not in (2, 4, 8, 16):
            raise ValueError(f"lanes must be 2, 4, 8 or 16, not {lanes!r}")
        if PARTIAL_SUMS // lanes < float_add.LATENCY:
            raise ValueError(
                f"an fp32 sum must take at most {PARTIAL_SUMS // lanes} cycles for {lanes} lanes,"
                f" not {float_add.LATENCY}"
            )
        self.lanes = lanes
        super().__init__(
            {
                "valid": In(1),
                "word": In(word(lanes)),
                "finish": In(1),
                "result_valid": Out(1),
                "result": Out(32),
            }
        )

    def elaborate(self, platform: object) -> Module:
        """Terms, a round of words, and the levels of the tree."""
        m = Module()
        words, bits = PARTIAL_SUMS // self.lanes, self.lanes * 32
        term, sums, advance, turns = Signal(bits, reset_less=True), Signal(bits), Signal(), Signal()
        half, skips = Signal(range(words)), Signal()
        back = self._round(m, sums, advance, turns, Mux(skips, half, 0))
        for lane in range(self.lanes):
            m.submodules[f"add{lane}"] = shared(unit := SumLane())
            m.d.comb += [
                unit.advance.eq(advance),
                unit.clear.eq(self.result_valid),
                unit.a.eq(term.word_select(lane, 32)),
                unit.b.eq(back.word_select(lane, 32)),
                sums.word_select(lane, 32).eq(unit.result),
            ]
        comes, place, left = Signal(), Signal(range(words)), Signal(range(float_add.LATENCY + 1))
        last, turn = Signal.like(place), Signal(range(self.lanes))
        following = [Signal.like(value) for value in (place, half, last)]
        # What the next term is: a word that comes, one from so many places before, one turned.
        adds, joins, turned = Signal(), Signal(ceil_log2(words)), Signal.like(turn)
        terms = [
            Mux(adds, self.word.as_value(), 0),
            *self._before(m, back, joins),
            *self._turned(sums, turned),
        ]
        m.d.sync += [
            comes.eq(self.valid),
            self.result_valid.eq(0),
            term.eq(reduce(or_, terms)),
            joins.eq(0),
            turned.eq(0),
        ]
        with m.FSM():
            with m.State("ADD"):
                m.d.comb += adds.eq(~self.finish)
                m.d.comb += advance.eq(comes)
                m.d.sync += [place.eq(0), half.eq(words // 2), turn.eq(self.lanes // 2)]
                m.d.sync += [last.eq(words - 1), *_set(following, 1, words // 2, words - 1)]
                with m.If(self.finish & ~comes & ~self.result_valid):
                    m.d.sync += joins.eq(_joined(0, words // 2, words - 1))
                    m.next = "JOIN"
            with m.State("JOIN"):
                m.d.comb += advance.eq(1)
                m.d.comb += skips.eq((last >= _SHORTEST) & (place + 1 == last))
                m.d.sync += [
                    left.eq(float_add.LATENCY - 1),
                    joins.eq(_joined(*following)),
                    *_set((place, half, last), *following),
                    *_set(following, *_behind(*following)),
                ]
                with m.If((place == last) & (half == 1)):
                    m.next = "WAIT"
            with m.State("WAIT"):
                m.d.comb += advance.eq(1)
                m.d.sync += left.eq(left - 1)
                with m.If(left == 1):
                    m.d.sync += turned.eq(turn)
                    m.next = "TURN"
            with m.State("TURN"):
                m.d.comb += turns.eq(1)
                m.d.sync += [
                    turn.eq(turn >> 1),
                    left.eq(float_add.LATENCY),
                ]
                m.next = "WAIT"
                with m.If(turn == 0):
                    m.d.sync += [self.result.eq(sums[:32]), self.result_valid.eq(1)]
                    m.next = "ADD"
        return m

    def _round(self, m: Module, sums: Value, advance: Value, turns: Value, skips: Value) -> Value:
        """Return the word before the adders: what left them, or some places later.

        `skips`: so many words more than one are left out after the next. With `turns` it becomes
        what just left the adders. A sum begins with as many zeros as there are words.
        """
        words = PARTIAL_SUMS // self.lanes
        places = words - float_add.LATENCY
        if places == 0:
            return sums
        back, fresh, late = Signal(len(sums)), Signal(range(words), init=words - 1), sums
        if places > 1:
            depth = 1 << (places - 1).bit_length()
            m.submodules.held = held = Memory(shape=len(sums), depth=depth, init=[])
            write, read = held.write_port(), held.read_port(domain="comb")
            at = Signal(range(depth), init=depth - places + 1)
            late = read.data
            m.d.comb += [write.en.eq(advance), write.data.eq(sums), read.addr.eq(at)]
            with m.If(self.result_valid):
                m.d.sync += [write.addr.eq(0), at.eq(at.init)]
            with m.Elif(advance):
                m.d.sync += [write.addr.eq(write.addr + 1), at.eq(at + 1 + skips)]
        with m.If(self.result_valid):
            m.d.sync += [back.eq(0), fresh.eq(fresh.init)]
        with m.Elif(turns):
            m.d.sync += back.eq(sums)
        with m.Elif(advance):
            m.d.sync += back.eq(Mux(fresh == 0, late, 0))
            with m.If(fresh != 0):
                m.d.sync += fresh.eq(fresh - 1)
        return back

    def _before(self, m: Module, back: Value, joins: Value) -> list[Value]:
        """Return the words that will be at the adders' inputs some places ahead of the next.

        The bits of `joins` say which one counts, the others are zero.
        """
        line = delayed(m, back, (1 << len(joins) - 1) - 1, name="before", reset_less=True)
        return [Mux(joins[power], line[(1 << power) - 1], 0) for power in range(len(joins))]

    def _turned(self, word: Value, level: Value) -> list[Value]:
        """Return the upper half of the `2 * level` lanes that count, in the place of the lower one.

        One for each level, the others are zero.
        """
        return [
            Mux(level[power], word[32 << power : 64 << power], 0) for power in range(len(level))
        ]


def _joined(place: ValueLike, half: ValueLike, last: Signal | int) -> Value:
    """Return `half` where the word at a place of a round meets the one so many places before.

    It does if the next place is among the last `half` of the round.
    """
    place, half = Value.cast(place), Value.cast(half)
    bits = len(last) if isinstance(last, Signal) else last.bit_length()
    meets = ((place + 1)[:bits] | (half - 1)[:bits] | ~Value.cast(last)[:bits]).all()
    return Mux(meets & (place != last), half, 0)


def _behind(place: Signal, half: Signal, last: Signal) -> tuple[Value, Value, Value]:
    """Return the next place of a round, or the first one of the next round, with its sizes."""
    ends = place == last
    return (
        Mux(ends, 0, place + 1),
        Mux(ends, half >> 1, half),
        Mux(ends & (last >= _SHORTEST), last >> 1, last),
    )


def _set(registers: Sequence[Signal], *values: ValueLike) -> list:
    return [register.eq(value) for register, value in zip(registers, values, strict=True)]
