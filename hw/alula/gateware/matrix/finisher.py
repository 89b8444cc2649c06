"""From captured accumulators to fp32 results in the vector buffer."""

import math

from amaranth.hdl import Array, Cat, Const, Module, Mux, Signal, Value, signed
from amaranth.lib import data, stream
from amaranth.lib.fifo import SyncFIFO
from amaranth.lib.wiring import Component, In, Out

from alula.design.engines import finish_width
from alula.gateware.arithmetic.float_convert import INTEGER_LATENCY, IntegerToFloat
from alula.gateware.arithmetic.float_format import LARGEST, clean, widen
from alula.gateware.arithmetic.float_multiply import LATENCY as MULTIPLY_LATENCY
from alula.gateware.arithmetic.float_multiply import FloatMultiply
from alula.gateware.buffers.vector_buffer import address_bits, write_layout
from alula.gateware.hdl.delay import delayed
from alula.gateware.hdl.repeat import placed
from alula.gateware.matrix.accumulator import ACCUMULATOR_BITS

__all__ = [
    "LANE_LATENCY",
    "OUTPUT_BITS",
    "POWER_BITS",
    "FinishLane",
    "Finisher",
    "info_layout",
]

OUTPUT_BITS = 20
POWER_BITS = 10
LANE_LATENCY = INTEGER_LATENCY + MULTIPLY_LATENCY + 1
"""Cycles from an accumulator to its result."""


def info_layout(*, rows: int, tokens: int, words: int, parts: int = 1) -> data.StructLayout:
    """What is known of the accumulators of a row block and pass, or of one of at most `parts`."""
    several = {"first_part": 1, "last_part": 1, "parts": 2} if parts > 1 else {}
    return data.StructLayout(
        {
            "factor": data.ArrayLayout(16, rows),
            "power": data.ArrayLayout(signed(POWER_BITS), tokens),
            "last_token": range(max(2, tokens)),
            "first_pass": 1,
            "first_block": 1,
            "ends": 1,
            "mm": 1,
            "dst": address_bits(words),
            "stride": address_bits(words),
            "outputs": OUTPUT_BITS,
        }
        | several
    )


class FinishLane(Component):
    """``fl(fl(fl(value) * factor) * 2**power)``, a result each cycle.

    Members:
        valid (In(1))
        value (In(48), signed)
        factor (In(16)): bf16 as it comes from memory; cleaned here.
        power (In(10), signed)
        result (Out(32)): `LANE_LATENCY` cycles later.
    """

    def __init__(self) -> None:
        super().__init__(
            {
                "valid": In(1),
                "value": In(signed(ACCUMULATOR_BITS)),
                "factor": In(16),
                "power": In(signed(POWER_BITS)),
                "result": Out(32),
            }
        )

    def elaborate(self, platform: object) -> Module:
        """Make the module."""
        m = Module()
        m.submodules.convert = convert = IntegerToFloat(width=ACCUMULATOR_BITS)
        m.submodules.multiply = multiply = FloatMultiply()
        factor = delayed(m, self.factor, INTEGER_LATENCY, name="factor", reset_less=True)[-1]
        scaling = INTEGER_LATENCY + MULTIPLY_LATENCY
        power = delayed(m, self.power, scaling, name="power", reset_less=True)[-1]
        m.d.comb += [
            convert.valid.eq(self.valid),
            convert.value.eq(self.value),
            multiply.valid.eq(convert.result_valid),
            multiply.a.eq(convert.result),
            multiply.b.eq(clean(widen(factor))),
        ]
        product = multiply.result
        exponent = Signal(signed(POWER_BITS + 2))
        m.d.comb += exponent.eq(product[23:31] + power)
        with m.If(multiply.result_valid):
            m.d.sync += self.result.eq(Cat(product[:23], exponent[:8], product[31]))
            with m.If(~product[23:31].any() | (exponent < 1)):
                m.d.sync += self.result.eq(0)
            with m.Elif(exponent > 254):
                m.d.sync += self.result.eq(Cat(Const(LARGEST, 31), product[31]))
        return m


class Finisher(Component):
    """Takes the accumulators of a row block in turn and writes its results, row by row.

    Each row gets the results below ``outputs`` and zeros to the end of their last word; words are
    written as far as this row block fills them.

    Args:
        rows (int): Rows of a block in this core.
        block_rows (int): Rows of a block in all cores, a multiple of ``rows``.
        tokens (int): Activation rows of a pass, a power of two.
        lanes (int): Results of a vector buffer word, a power of two.
        words (int): Words of the vector buffer.
        sets (int): Row blocks, or parts, that may be between ``start`` and their last write.
        parts (int): The most parts of a row block: each comes as a row block of its own, one after
            the other, for each pass.

    Members:
        accumulators (In(rows x tokens x 48), signed): As they stand from ``start`` on, for
            ``cycles`` cycles.
        start (In(1)): A row block's accumulators are there; again after ``cycles`` cycles at the
            earliest.
        info (In(`info_layout`)): Of these accumulators, until ``taken``. ``factor``: bf16 of each
            row; ``power``: exponent of each token; ``last_token``: the last one that counts;
            ``ends``: nothing follows for this instruction; ``parts``: log2 of the parts of the row
            block.
        overflow (In(1)): Some of these accumulators do not fit; until ``taken``.
        taken (Out(1)): In the last cycle in which accumulators and ``info`` are looked at.
        first (In(16)): This core's first row within a row block; constant.
        write (Out stream of `write_layout`): Words for the vector buffer.
        finished (Out(1)): A row block's last word has been written.
        mm_done, mv_done (Out(1)): The same for an instruction, one cycle after its last word was
            taken.
        mm_lost, mv_lost (Out(1)): The same for the first row block that overflowed. Neither its
            instruction nor a later one is done, so it stays the oldest.

    There must be room for `sets` row blocks; the caller counts them with ``finished``.
    """

    def __init__(
        self,
        *,
        rows: int,
        block_rows: int,
        tokens: int,
        lanes: int,
        words: int,
        sets: int,
        parts: int = 1,
    ) -> None:
        if rows < 1:
            raise ValueError(f"rows must be at least 1, not {rows}")
        if block_rows < rows or block_rows % rows:
            raise ValueError(f"block_rows must be a multiple of rows ({rows}), not {block_rows}")
        for name, value in (("tokens", tokens), ("lanes", lanes)):
            if value < 1 or value & value - 1:
                raise ValueError(f"{name} must be a power of two, not {value}")
        if words < 2:
            raise ValueError(f"words must be at least 2, not {words}")
        if sets < 2:
            raise ValueError(f"sets must be at least 2, not {sets}")
        self.rows = rows
        self.block_rows = block_rows
        self.tokens = tokens
        self.lanes = lanes
        self.words = words
        self.sets = sets
        self.parts = parts
        super().__init__(
            {
                "accumulators": In(
                    data.ArrayLayout(data.ArrayLayout(signed(ACCUMULATOR_BITS), tokens), rows)
                ),
                "start": In(1),
                "info": In(info_layout(rows=rows, tokens=tokens, words=words, parts=parts)),
                "overflow": In(1),
                "taken": Out(1),
                "first": In(16),
                "write": Out(stream.Signature(write_layout(words, lanes))),
                "finished": Out(1),
                "mm_done": Out(1),
                "mv_done": Out(1),
                "mm_lost": Out(1),
                "mv_lost": Out(1),
            }
        )

    @property
    def width(self) -> int:
        """Results a cycle."""
        return finish_width(
            rows=self.rows, block_rows=self.block_rows, tokens=self.tokens, lanes=self.lanes
        )

    @property
    def cycles(self) -> int:
        """Cycles of a row block."""
        return self.rows * self.tokens // self.width

    @property
    def touched(self) -> int:
        """Words that a row block's results of one token can touch."""
        step = math.gcd(self.rows, self.block_rows, self.lanes)
        return (self.lanes - step + self.rows - 1) // self.lanes + 1

    def elaborate(self, platform: object) -> Module:
        """Make the module."""
        m = Module()
        turn = self._turns(m)
        results = self._lanes(m, turn)
        entry = delayed(m, turn, LANE_LATENCY, name="turn")[-1]
        self._words(m, entry, results)
        return m

    def _turns(self, m: Module) -> data.View:
        """Who comes when and where its results go: a chunk of one token's results a cycle."""
        chunks = self.rows // self.width
        word_bits = self.lanes.bit_length() - 1
        layout = data.StructLayout(
            {
                "valid": 1,
                "number": range(max(2, self.cycles)),
                "token": range(max(2, self.tokens)),
                "chunk": range(max(2, chunks)),
                "address": address_bits(self.words),
                "position": range(max(2, self.lanes // self.width)),
                "count": range(self.width + 1),
                "tail": 1,
                "flush": 1,
                "set_end": 1,
                "ends": 1,
                "mm": 1,
                "overflow": 1,
            }
        )
        turn = Signal(layout)
        busy = Signal()
        number, token = Signal(range(max(2, self.cycles))), Signal(range(max(2, self.tokens)))
        chunk = Signal(range(max(2, chunks)))
        begins = Signal()
        block, element, following = (Signal(OUTPUT_BITS, name=n) for n in ("block", "e", "next_e"))
        row, next_row = (Signal(address_bits(self.words), name=n) for n in ("row", "next_row"))
        starts_at = Signal(OUTPUT_BITS)
        last_chunk, last_token = Signal(), Signal()
        left = Signal(signed(OUTPUT_BITS + 1))
        info = self.info
        m.d.comb += [
            begins.eq(self.start & ~busy),
            turn.valid.eq(self.start | busy),
            starts_at.eq(block),
            row.eq(next_row),
            last_chunk.eq(chunk == chunks - 1),
            last_token.eq(token == info.last_token),
        ]
        several = self.parts > 1
        begins_block = begins & info.first_part if several else begins
        with m.If(begins_block & info.first_pass):
            m.d.comb += row.eq(info.dst)
            with m.If(info.first_block):
                m.d.comb += starts_at.eq(self.first)
            with m.Else():
                m.d.comb += starts_at.eq(block + self.block_rows)
        last_part: Value = Const(1)
        if several:
            last_part = info.last_part
            whole, whole_row = Signal(OUTPUT_BITS), Signal(address_bits(self.words))
            with m.Elif(begins_block):
                m.d.comb += starts_at.eq(whole)
            with m.Elif(begins):
                m.d.comb += [starts_at.eq(block + self.block_rows), row.eq(whole_row)]
            with m.If(begins_block):
                m.d.sync += [whole.eq(starts_at), whole_row.eq(row)]
        m.d.comb += [
            element.eq(Mux(begins, starts_at, following)),
            left.eq(info.outputs - element),
            turn.number.eq(number),
            turn.token.eq(token),
            turn.chunk.eq(chunk),
            turn.address.eq(row + (element >> word_bits)),
            turn.position.eq((element & (self.lanes - 1)) // self.width),
            turn.count.eq(Mux(left < 0, 0, Mux(left > self.width, self.width, left))),
            turn.tail.eq((left <= self.width) & (left > 0)),
            turn.flush.eq(last_chunk | (turn.position == self.lanes // self.width - 1)),
            turn.set_end.eq(last_chunk & last_token),
            turn.ends.eq(info.ends & last_part),
            turn.mm.eq(info.mm),
            turn.overflow.eq(self.overflow),
            self.taken.eq(turn.valid & turn.set_end),
        ]
        with m.If(turn.valid):
            m.d.sync += [
                block.eq(starts_at),
                busy.eq(~turn.set_end),
                number.eq(number + 1),
                chunk.eq(chunk + 1),
                following.eq(element + self.width),
                next_row.eq(row),
            ]
            with m.If(last_chunk):
                m.d.sync += [
                    chunk.eq(0),
                    token.eq(token + 1),
                    following.eq(starts_at),
                    next_row.eq(row + info.stride),
                ]
            with m.If(turn.set_end):
                m.d.sync += [token.eq(0), number.eq(0)]
        return turn

    def _lanes(self, m: Module, turn: data.View) -> list[Value]:
        chunks = self.rows // self.width
        order = [(token, chunk) for token in range(self.tokens) for chunk in range(chunks)]
        results = []
        for place in range(self.width):
            lane = FinishLane()
            m.submodules[f"lane_{place}"] = placed(lane)
            values = [
                self.accumulators[chunk * self.width + place][token] for token, chunk in order
            ]
            factors = [self.info.factor[chunk * self.width + place] for chunk in range(chunks)]
            powers = [self.info.power[token] for token in range(self.tokens)]
            m.d.comb += [
                lane.valid.eq(turn.valid),
                lane.value.eq(Array(values)[turn.number]),
                lane.factor.eq(Array(factors)[turn.chunk]),
                lane.power.eq(Array(powers)[turn.token]),
            ]
            results.append(lane.result)
        return results

    def _words(self, m: Module, entry: data.View, results: list[Value]) -> None:
        """Put chunks of a word together; hold words until they can be written."""
        positions = self.lanes // self.width
        held, held_mask = Signal(32 * self.lanes), Signal(self.lanes)
        word, mask = Signal(32 * self.lanes), Signal(self.lanes)
        m.d.comb += [word.eq(held), mask.eq(held_mask)]
        for position in range(positions):
            for place, result in enumerate(results):
                lane = position * self.width + place
                target = word.word_select(lane, 32)
                with m.If(entry.position == position):
                    with m.If(place < entry.count):
                        m.d.comb += [target.eq(result), mask[lane].eq(1)]
                    with m.Elif(entry.tail):
                        m.d.comb += [target.eq(0), mask[lane].eq(1)]
                with m.Elif(entry.tail & (entry.position < position)):
                    m.d.comb += [target.eq(0), mask[lane].eq(1)]
        with m.If(entry.valid):
            m.d.sync += [held.eq(word), held_mask.eq(Mux(entry.flush, 0, mask))]

        layout = data.StructLayout(
            {"write": write_layout(self.words, self.lanes)}
            | dict.fromkeys(("set_end", "ends", "mm", "overflow"), 1)
        )
        depth = self.sets * self.tokens * self.touched
        m.submodules.queue = queue = SyncFIFO(width=layout.size, depth=depth)
        given, taken = Signal(layout), Signal(layout)
        leaves = Signal()
        m.d.comb += [
            given.write.address.eq(entry.address),
            given.write.data.as_value().eq(word),
            given.write.mask.eq(mask),
            given.set_end.eq(entry.set_end),
            given.ends.eq(entry.ends),
            given.mm.eq(entry.mm),
            given.overflow.eq(entry.overflow),
            queue.w_data.eq(given),
            queue.w_en.eq(entry.valid & entry.flush & (mask.any() | entry.set_end)),
            taken.eq(queue.r_data),
            self.write.payload.eq(taken.write),
            self.write.valid.eq(queue.r_rdy & taken.write.mask.any()),
            leaves.eq(queue.r_rdy & (self.write.ready | ~taken.write.mask.any())),
            queue.r_en.eq(leaves),
            self.finished.eq(leaves & taken.set_end),
        ]
        ends, loses, lost = self.finished & taken.ends, Signal(), Signal()
        m.d.comb += loses.eq(self.finished & taken.overflow & ~lost)
        m.d.sync += lost.eq(lost | loses)
        for mine, done, is_lost in (
            (taken.mm, self.mm_done, self.mm_lost),
            (~taken.mm, self.mv_done, self.mv_lost),
        ):
            m.d.comb += is_lost.eq(loses & mine)
            m.d.sync += done.eq(ends & mine & ~loses & ~lost)
