"""Whether a product stays within the buffers that it needs."""

from bisect import bisect_left

from amaranth.hdl import Cat, Module, Mux, Signal, Value, signed
from amaranth.lib.wiring import Component, In, Out

from alula.gateware.arithmetic.compare import reaches
from alula.gateware.arithmetic.quotient import multiple
from alula.gateware.matrix.output_stage import OUTPUT_BITS
from alula.gateware.matrix.reason import NUMBER_BITS, ProductReason
from alula.gateware.matrix.sizes import MatrixSizes
from alula.gateware.stream.steps import BLOCK_BITS, GROUP_BITS
from alula.gateware.stream.weight_format import FORMAT_BITS, by_format, segments_power
from alula.isa.formats import BeatKind, WeightFormat

LATENCY = 3
"""Cycles from a product of one row to what is found of it."""


class Reach(Component):
    """``base + extra + step * count`` without a multiplier: a bit of the count each cycle.

    Members:
        waits (In(1)): ``base``, ``extra`` and ``step`` are there in its last cycle.
        base, step (In(32)), extra (In(20))
        bit (In(1)): The count's next bit, the lowest in the cycle after ``waits``.
        last (Out(24)): The sum, two cycles after the last bit; all ones if it has more.
    """

    waits: In(1)
    base: In(32)
    extra: In(OUTPUT_BITS)
    step: In(32)
    bit: In(1)
    last: Out(NUMBER_BITS)

    def elaborate(self, platform: object) -> Module:
        """Make the module."""
        m = Module()
        # The highest bit says that there are more.
        total, step, summand = (
            Signal(NUMBER_BITS + 1, name=name, reset_less=True)
            for name in ("total", "step", "summand")
        )
        added = total[:NUMBER_BITS] + summand[:NUMBER_BITS]
        with m.If(self.waits):
            m.d.sync += [
                total.eq(_limited(self.base)),
                summand.eq(self.extra),
                step.eq(_limited(self.step)),
            ]
        with m.Else():
            m.d.sync += [
                total.eq(Cat(added[:NUMBER_BITS], (added | total | summand)[NUMBER_BITS])),
                summand.eq(Mux(self.bit, step, 0)),
                step.eq(_limited(step << 1)),
            ]
        m.d.comb += self.last.eq(Mux(total[NUMBER_BITS], (1 << NUMBER_BITS) - 1, total))
        return m


class Bounds(Component):
    """Finds the last group that a product reads and the last word that it writes.

    Rows are ``stride`` words apart, and ``tokens`` of them share ``row_groups`` groups.

    Args:
        sizes (MatrixSizes): Of the engine.

    Members:
        waits (In(1)): No product is there: what is given is taken, whatever it is. Many registers
            depend on this, and none on ``start``, which is known late.
        start (In(1)): In the last cycle of ``waits``: a product is there, and stays.
        format (In(7)), blocks (In(20)), row_groups (In(14)): Of its weights.
        src, last_row, dst, stride, outputs (In(32)): Of the instruction; ``last_row`` is one less
            than its rows.
        done (Out(1)): The result is there, high for one cycle: `LATENCY` after ``start``, and 1
            more for each bit of ``last_row``.
        refusal (Out(`ProductReason`)): REPLAY, OUTPUTS, SRC or DST, the first that applies;
            otherwise NONE. From ``done`` until ``waits``.
        number (Out(24)): See `ProductReason`.
    """

    def __init__(self, sizes: MatrixSizes) -> None:
        self.sizes = sizes
        super().__init__(
            {
                "waits": In(1),
                "start": In(1),
                "format": In(FORMAT_BITS),
                "blocks": In(BLOCK_BITS),
                "row_groups": In(GROUP_BITS),
                "src": In(32),
                "last_row": In(32),
                "dst": In(32),
                "stride": In(32),
                "outputs": In(32),
                "done": Out(1),
                "refusal": Out(ProductReason),
                "number": Out(NUMBER_BITS),
            }
        )

    def elaborate(self, platform: object) -> Module:
        """Make the module."""
        m = Module()
        token_bits, lane_bits = (n.bit_length() - 1 for n in (self.sizes.tokens, self.sizes.lanes))
        m.submodules.group = group = Reach()
        m.submodules.word = word = Reach()
        left = Signal(32)
        counts, adds = Signal(), Signal()
        m.d.comb += [
            group.waits.eq(self.waits),
            group.base.eq(self.src),
            group.extra.eq(self.row_groups - 1),
            group.step.eq(self.row_groups),
            group.bit.eq(left[token_bits]),
            word.waits.eq(self.waits),
            word.base.eq(self.dst),
            word.extra.eq((self.outputs - 1)[lane_bits:OUTPUT_BITS]),
            word.step.eq(self.stride),
            word.bit.eq(left[0]),
        ]
        m.d.sync += [
            counts.eq(self.start | (counts & left.any())),
            adds.eq(counts & ~left.any()),
            self.done.eq(adds),
        ]
        with m.If(self.waits):
            m.d.sync += left.eq(self.last_row)
        with m.Elif(counts):
            m.d.sync += left.eq(left >> 1)

        fits, replays = self._fits(m), self._replays(m, left[token_bits:])
        beyond_groups, beyond_words = Signal(), Signal()
        with m.If(adds):
            m.d.sync += [
                beyond_groups.eq(reaches(group.last, self.sizes.groups)),
                beyond_words.eq(reaches(word.last, self.sizes.words)),
            ]
        with m.If(replays):
            m.d.comb += [self.refusal.eq(ProductReason.REPLAY), self.number.eq(self.row_groups)]
        with m.Elif(~fits):
            m.d.comb += self.refusal.eq(ProductReason.OUTPUTS)
        with m.Elif(beyond_groups):
            m.d.comb += [self.refusal.eq(ProductReason.SRC), self.number.eq(group.last)]
        with m.Elif(beyond_words):
            m.d.comb += [self.refusal.eq(ProductReason.DST), self.number.eq(word.last)]
        return m

    def _fits(self, m: Module) -> Value:
        """Whether the outputs end in the last row block, `LATENCY` cycles after the start."""
        power = by_format(m, self.format, segments_power, name="power", sparse=self.sizes.sparse)
        end = Signal(range((self.sizes.block_rows << BLOCK_BITS) * self.sizes.segments))
        padding = Signal(signed(len(end) + 1))
        share, fits = Signal(range(self.sizes.block_rows * self.sizes.segments + 1)), Signal()
        with m.If(self.waits):
            m.d.sync += [
                end.eq(multiple(self.blocks, self.sizes.block_rows) << power),
                share.eq(self.sizes.block_rows << power),
            ]
        m.d.sync += [
            padding.eq(end - self.outputs[:OUTPUT_BITS]),
            fits.eq((padding >= 0) & (padding < share) & ~self.outputs[OUTPUT_BITS:].any()),
        ]
        return fits

    def _replays(self, m: Module, more: Value) -> Value:
        """Whether several passes need a row block that does not fit the weight stream.

        There are several if a bit of `more` is set in the cycle after the start.
        """
        most = by_format(m, self.format, self._most_groups, name="most", sparse=self.sizes.sparse)
        started, several, too_long, limit = Signal(), Signal(), Signal(), Signal.like(most)
        m.d.sync += started.eq(self.start)
        with m.If(self.waits):
            m.d.sync += limit.eq(most)
        with m.If(started):
            m.d.sync += several.eq(more.any())
        m.d.sync += too_long.eq(self.row_groups > limit)
        return several & too_long

    def _most_groups(self, item: WeightFormat) -> int:
        def too_many(groups: int) -> bool:
            held, index = item.beats(1, groups), item.count(BeatKind.INDEX, 1, groups)
            return held > self.sizes.stream_beats or index > self.sizes.stream_beats // 2

        return bisect_left(range(1 << GROUP_BITS), True, key=too_many) - 1


def _limited(value: Value) -> Value:
    """A number's low 24 bits, and whether there are more."""
    return Cat(value[:NUMBER_BITS], value[NUMBER_BITS:].any())
