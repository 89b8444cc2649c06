"""Whether a product stays within the buffers that it needs."""

from bisect import bisect_left

from amaranth.hdl import Cat, Module, Mux, Signal, Value
from amaranth.lib.wiring import Component, In, Out

from alula.gateware.arithmetic.quotient import multiple
from alula.gateware.matrix.finisher import OUTPUT_BITS
from alula.gateware.matrix.reason import NUMBER_BITS, Reason
from alula.gateware.stream.steps import BLOCK_BITS, GROUP_BITS
from alula.gateware.stream.weight_format import FORMAT_BITS, by_format, parts_power
from alula.isa.formats import BeatKind, WeightFormat

__all__ = ["Bounds"]


class Reach(Component):
    """``base + extra + step * count`` without a multiplier: a bit of the count each cycle.

    Members:
        start (In(1)): ``base``, ``extra`` and ``step`` are there.
        base, step (In(32)), extra (In(20))
        bit (In(1)): The count's next bit, the lowest in the cycle after ``start``.
        last (Out(24)): The sum with the bits so far; all ones if it has more.
    """

    start: In(1)
    base: In(32)
    extra: In(OUTPUT_BITS)
    step: In(32)
    bit: In(1)
    last: Out(NUMBER_BITS)

    def elaborate(self, platform: object) -> Module:
        """Make the module."""
        m = Module()
        # The highest bit says that there are more.
        total, step, left, right = (
            Signal(NUMBER_BITS + 1, name=name) for name in ("total", "step", "left", "right")
        )
        added = left[:NUMBER_BITS] + right[:NUMBER_BITS]
        m.d.sync += total.eq(Cat(added[:NUMBER_BITS], (added | left | right)[NUMBER_BITS]))
        with m.If(self.start):
            m.d.comb += [left.eq(_limited(self.base)), right.eq(self.extra)]
            m.d.sync += step.eq(_limited(self.step))
        with m.Else():
            m.d.comb += left.eq(total)
            with m.If(self.bit):
                m.d.comb += right.eq(step)
            m.d.sync += step.eq(_limited(step << 1))
        m.d.comb += self.last.eq(Mux(total[NUMBER_BITS], (1 << NUMBER_BITS) - 1, total))
        return m


class Bounds(Component):
    """Finds the last group that a product reads and the last word that it writes.

    Rows are ``stride`` words apart, and ``tokens`` of them share ``row_groups`` groups.

    Args:
        block_rows (int): Rows of a block in all cores.
        tokens (int): Activation rows of a pass, a power of two.
        lanes (int): Results of a vector buffer word, a power of two.
        groups (int): Groups of the activation buffer.
        words (int): Words of the vector buffer.
        stream_beats (int): Beats of the weight stream.
        sparse (bool): Weights may have a pattern.

    Members:
        start (In(1)): A product is there and stays until ``done``; not while busy.
        format (In(7)), blocks (In(20)), row_groups (In(14)): Of its weights.
        src, last_row, dst, stride, outputs (In(32)): Of the instruction; ``last_row`` is one less
            than its rows.
        busy (Out(1)): From the next cycle to that of ``done``.
        done (Out(1)): The result is there, for one cycle: 1 after ``start``, and 1 more for each
            bit of ``last_row``.
        refusal (Out(`Reason`)): REPLAY, OUTPUTS, SRC or DST, the first that applies; otherwise
            NONE.
        number (Out(24)): As of `Reason`.
    """

    def __init__(
        self,
        *,
        block_rows: int,
        tokens: int,
        lanes: int,
        groups: int,
        words: int,
        stream_beats: int,
        sparse: bool = False,
    ) -> None:
        self.block_rows, self.tokens, self.lanes = block_rows, tokens, lanes
        self.groups, self.words, self.stream_beats = groups, words, stream_beats
        self.sparse = sparse
        super().__init__(
            {
                "start": In(1),
                "format": In(FORMAT_BITS),
                "blocks": In(BLOCK_BITS),
                "row_groups": In(GROUP_BITS),
                "src": In(32),
                "last_row": In(32),
                "dst": In(32),
                "stride": In(32),
                "outputs": In(32),
                "busy": Out(1),
                "done": Out(1),
                "refusal": Out(Reason),
                "number": Out(NUMBER_BITS),
            }
        )

    def elaborate(self, platform: object) -> Module:
        """Make the module."""
        m = Module()
        token_bits, lane_bits = (n.bit_length() - 1 for n in (self.tokens, self.lanes))
        m.submodules.group = group = Reach()
        m.submodules.word = word = Reach()
        left = Signal(32)
        fits, replays = Signal(), Signal()
        m.d.comb += [
            group.start.eq(self.start),
            group.base.eq(self.src),
            group.extra.eq(self.row_groups - 1),
            group.step.eq(self.row_groups),
            group.bit.eq(left[token_bits]),
            word.start.eq(self.start),
            word.base.eq(self.dst),
            word.extra.eq((self.outputs - 1)[lane_bits:OUTPUT_BITS]),
            word.step.eq(self.stride),
            word.bit.eq(left[0]),
            self.done.eq(self.busy & ~left.any()),
        ]
        m.d.sync += [
            self.busy.eq(self.start | (self.busy & ~self.done)),
            left.eq(Mux(self.start, self.last_row, left >> 1)),
        ]
        with m.If(self.start):
            m.d.sync += [
                fits.eq(self._fits(m)),
                replays.eq((self.last_row >> token_bits).any() & self._too_long(m)),
            ]
        with m.If(replays):
            m.d.comb += [self.refusal.eq(Reason.REPLAY), self.number.eq(self.row_groups)]
        with m.Elif(~fits):
            m.d.comb += self.refusal.eq(Reason.OUTPUTS)
        with m.Elif(group.last >= self.groups):
            m.d.comb += [self.refusal.eq(Reason.SRC), self.number.eq(group.last)]
        with m.Elif(word.last >= self.words):
            m.d.comb += [self.refusal.eq(Reason.DST), self.number.eq(word.last)]
        return m

    def _fits(self, m: Module) -> Value:
        """Whether the outputs end in the last row block."""
        power = by_format(m, self.format, parts_power, name="power", sparse=self.sparse)
        end = multiple(self.blocks, self.block_rows) << power
        padding = end - self.outputs[:OUTPUT_BITS]
        return (
            (padding >= 0)
            & (padding < self.block_rows << power)
            & ~self.outputs[OUTPUT_BITS:].any()
        )

    def _too_long(self, m: Module) -> Value:
        """Whether a row block does not fit the weight stream."""
        most = by_format(m, self.format, self._most_groups, name="most", sparse=self.sparse)
        return self.row_groups > most

    def _most_groups(self, item: WeightFormat) -> int:
        def too_many(groups: int) -> bool:
            held, index = item.beats(1, groups), item.count(BeatKind.INDEX, 1, groups)
            return held > self.stream_beats or index > self.stream_beats // 2

        return bisect_left(range(1 << GROUP_BITS), True, key=too_many) - 1


def _limited(value: Value) -> Value:
    """A number's low 24 bits, and whether there are more."""
    return Cat(value[:NUMBER_BITS], value[NUMBER_BITS:].any())
