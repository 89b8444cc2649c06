"""From captured accumulators to fp32 results in the vector buffer."""

import math

from amaranth.hdl import Array, Cat, Const, Module, Mux, Signal, Value, signed
from amaranth.lib import data, stream
from amaranth.lib.wiring import Component, In, Out

from alula.gateware.arithmetic.float_convert import INTEGER_LATENCY, IntegerToFloat
from alula.gateware.arithmetic.float_format import LARGEST, clean, widen
from alula.gateware.arithmetic.float_multiply import LATENCY as MULTIPLY_LATENCY
from alula.gateware.arithmetic.float_multiply import FloatMultiply
from alula.gateware.buffers.vector_buffer import address_bits, write_layout
from alula.gateware.hdl.delay import delayed
from alula.gateware.hdl.fifo import LATENCY as QUEUE_LATENCY
from alula.gateware.hdl.fifo import RegisteredFifo
from alula.gateware.hdl.repeat import shared
from alula.gateware.matrix.accumulator import ACCUMULATOR_BITS
from alula.gateware.matrix.sizes import MatrixSizes

OUTPUT_BITS = 20
POWER_BITS = 10
LANE_LATENCY = INTEGER_LATENCY + MULTIPLY_LATENCY + 2
"""Cycles from an accumulator to its result."""
LATENCY = 1 + LANE_LATENCY + QUEUE_LATENCY
"""Cycles from a row block's accumulators to its first word: picked, finished, queued."""


def info_layout(sizes: MatrixSizes) -> data.StructLayout:
    """What is known of the accumulators of a row block and pass, or of a segment of one."""
    rows, tokens, words = sizes.rows, sizes.tokens, sizes.words
    several = {"first_segment": 1, "last_segment": 1, "segments": 2} if sizes.sparse else {}
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


class OutputLane(Component):
    """``fl(fl(fl(value) * factor) * 2**power)``, a result each cycle.

    Members:
        valid (In(1))
        value (In(48), signed)
        factor (In(16)): bf16 as it comes from memory; cleaned here.
        power (In(10), signed)
        result (Out(32)): `LANE_LATENCY` cycles later.
    """

    valid: In(1)
    value: In(signed(ACCUMULATOR_BITS))
    factor: In(16)
    power: In(signed(POWER_BITS))
    result: Out(32)

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
        product, scaled = multiply.result, Signal(32, reset_less=True)
        exponent, zero = Signal(signed(POWER_BITS + 2), reset_less=True), Signal(reset_less=True)
        ready = Signal()
        m.d.sync += ready.eq(multiply.result_valid)
        with m.If(multiply.result_valid):
            m.d.sync += [
                scaled.eq(product),
                exponent.eq(product[23:31] + power),
                zero.eq(~product[23:31].any()),
            ]
        with m.If(ready):
            m.d.sync += self.result.eq(Cat(scaled[:23], exponent[:8], scaled[31]))
            with m.If(zero | (exponent < 1)):
                m.d.sync += self.result.eq(0)
            with m.Elif(exponent > 254):
                m.d.sync += self.result.eq(Cat(Const(LARGEST, 31), scaled[31]))
        return m


class OutputStage(Component):
    """Takes the accumulators of a row block in turn and writes its results, row by row.

    Each row gets the results below ``outputs`` and zeros to the end of their last word; words are
    written as far as this row block fills them.

    Args:
        sizes (MatrixSizes): Of a row block with a pattern each segment comes as a row block of its
            own, one after the other, for each pass.
        sets (int): Row blocks, or segments, that may be between ``start`` and their last write.

    Members:
        accumulators (In(rows x tokens x 48), signed): Their values from ``start`` on, for
            ``cycles`` cycles.
        start (In(1)): A row block's accumulators are there; again after ``cycles`` cycles at the
            earliest.
        info (In(`info_layout`)): Of these accumulators, until ``taken``. ``factor``: bf16 of each
            row; ``power``: exponent of each token; ``last_token``: the last one that counts;
            ``ends``: nothing follows for this instruction; ``segments``: log2 of the segments
            of the row block.
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

    def __init__(self, sizes: MatrixSizes, *, sets: int) -> None:
        if sets < 2:
            raise ValueError(f"sets must be at least 2, not {sets}")
        self.sizes, self.sets = sizes, sets
        super().__init__(
            {
                "accumulators": In(
                    data.ArrayLayout(
                        data.ArrayLayout(signed(ACCUMULATOR_BITS), sizes.tokens), sizes.rows
                    )
                ),
                "start": In(1),
                "info": In(info_layout(sizes)),
                "overflow": In(1),
                "taken": Out(1),
                "first": In(16),
                "write": Out(stream.Signature(write_layout(sizes.words, sizes.lanes))),
                "finished": Out(1),
                "mm_done": Out(1),
                "mv_done": Out(1),
                "mm_lost": Out(1),
                "mv_lost": Out(1),
            }
        )

    @property
    def touched(self) -> int:
        """Words that a row block's results of one token can touch."""
        step = math.gcd(self.sizes.rows, self.sizes.block_rows, self.sizes.lanes)
        return (self.sizes.lanes - step + self.sizes.rows - 1) // self.sizes.lanes + 1

    def elaborate(self, platform: object) -> Module:
        """Make the module."""
        m = Module()
        turn = self._turns(m)
        results = self._lanes(m, turn)
        self._words(m, self._places(m, turn), results)
        return m

    def _turns(self, m: Module) -> data.View:
        """Who comes when: a chunk of one token's results a cycle."""
        chunks = self.sizes.rows // self.sizes.width
        turn = Signal(
            data.StructLayout(
                {
                    "valid": 1,
                    "number": range(max(2, self.sizes.cycles)),
                    "token": range(max(2, self.sizes.tokens)),
                    "chunk": range(max(2, chunks)),
                    "begins": 1,
                    "last_chunk": 1,
                    "set_end": 1,
                }
            )
        )
        busy, ending = Signal(), Signal()
        number, token, chunk = (
            Signal.like(turn[name], name=name) for name in ("number", "token", "chunk")
        )
        later_token, later_chunk = Signal.like(token), Signal.like(chunk)
        # Known a cycle ahead, but for one that ends as it starts.
        ends_at_once = (self.info.last_token == 0) if chunks == 1 else Const(0)
        m.d.comb += [
            turn.begins.eq(self.start & ~busy),
            turn.valid.eq(self.start | busy),
            turn.number.eq(number),
            turn.token.eq(token),
            turn.chunk.eq(chunk),
            turn.last_chunk.eq(chunk == chunks - 1),
            turn.set_end.eq(Mux(busy, ending, ends_at_once)),
            self.taken.eq(turn.valid & turn.set_end),
            later_token.eq(token + turn.last_chunk),
            later_chunk.eq(Mux(turn.last_chunk, 0, chunk + 1)),
        ]
        with m.If(turn.valid):
            m.d.sync += [
                busy.eq(~turn.set_end),
                number.eq(number + 1),
                token.eq(later_token),
                chunk.eq(later_chunk),
                ending.eq((later_token == self.info.last_token) & (later_chunk == chunks - 1)),
            ]
            with m.If(turn.set_end):
                m.d.sync += [token.eq(0), number.eq(0)]
        return turn

    def _lanes(self, m: Module, turn: data.View) -> list[Value]:
        """Pick each lane's operands in one cycle; its results come `LANE_LATENCY` later."""
        tokens, width = self.sizes.tokens, self.sizes.width
        chunks = self.sizes.rows // width
        order = [(token, chunk) for token in range(tokens) for chunk in range(chunks)]
        valid = Signal(name="picked")
        m.d.sync += valid.eq(turn.valid)
        results = []
        for place in range(width):
            lane = OutputLane()
            m.submodules[f"lane_{place}"] = shared(lane)
            operands = {
                "value": Array(
                    self.accumulators[chunk * width + place][token] for token, chunk in order
                )[turn.number],
                "factor": Array(self.info.factor[chunk * width + place] for chunk in range(chunks))[
                    turn.chunk
                ],
                "power": Array(self.info.power[token] for token in range(tokens))[turn.token],
            }
            m.d.comb += lane.valid.eq(valid)
            for name, operand in operands.items():
                port = getattr(lane, name)
                picked = Signal(port.shape(), name=f"{name}_{place}", reset_less=True)
                m.d.comb += port.eq(picked)
                with m.If(turn.valid):
                    m.d.sync += picked.eq(operand)
            results.append(lane.result)
        return results

    def _places(self, m: Module, turn: data.View) -> data.View:
        """Where the results of this cycle go: three stages of address, and a delay."""
        lanes, width = self.sizes.lanes, self.sizes.width
        word_bits = lanes.bit_length() - 1
        now = self._elements(m, turn)
        flags = dict.fromkeys(("valid", "last_chunk", "set_end", "ends", "mm", "overflow"), 1)
        position = range(max(2, lanes // width))
        address = address_bits(self.sizes.words)
        measured = Signal(
            data.StructLayout(
                flags | {"address": address, "position": position, "left": signed(OUTPUT_BITS + 1)}
            )
        )
        m.d.sync += [
            *(measured[name].eq(now[name]) for name in flags),
            measured.address.eq(now.row + (now.element >> word_bits)),
            measured.position.eq((now.element & (lanes - 1)) // width),
            measured.left.eq(now.outputs - now.element),
        ]
        left = measured.left
        chunk = Signal(
            data.StructLayout(
                flags
                | {"address": address, "position": position, "count": range(width + 1)}
                | {"tail": 1, "flush": 1}
            ),
        )
        m.d.sync += [
            *(chunk[name].eq(measured[name]) for name in (*flags, "address", "position")),
            chunk.count.eq(Mux(left < 0, 0, Mux(left > width, width, left))),
            chunk.tail.eq((left <= width) & (left > 0)),
            chunk.flush.eq(measured.last_chunk | (measured.position == lanes // width - 1)),
        ]
        stages = 4  # from a turn to `chunk`
        return delayed(m, chunk, LANE_LATENCY - stages, name="chunk")[-1]

    def _elements(self, m: Module, turn: data.View) -> data.View:
        """Each turn's row of the vector buffer and its first output, two cycles later."""
        info = self.info
        several = self.sizes.segments > 1
        segments = ("first_segment",) if several else ()
        flags = dict.fromkeys(("valid", "last_chunk", "set_end", "ends", "mm", "overflow"), 1)
        counts = {"outputs": OUTPUT_BITS}
        picked = Signal(
            data.StructLayout(
                flags
                | dict.fromkeys(("begins", "first_pass", "first_block", *segments), 1)
                | dict.fromkeys(("dst", "stride"), address_bits(self.sizes.words))
                | counts
            )
        )
        m.d.sync += [
            *(picked[name].eq(turn[name]) for name in ("valid", "begins", "last_chunk", "set_end")),
            *(
                picked[name].eq(info[name])
                for name in (
                    "first_pass",
                    "first_block",
                    *segments,
                    "mm",
                    "dst",
                    "stride",
                    "outputs",
                )
            ),
            picked.ends.eq(info.ends & info.last_segment if several else info.ends),
            picked.overflow.eq(self.overflow),
        ]

        now = Signal(
            data.StructLayout(
                flags | {"row": address_bits(self.sizes.words), "element": OUTPUT_BITS} | counts
            )
        )
        m.d.sync += [now[name].eq(picked[name]) for name in (*flags, *counts)]
        block, next_block, following = Signal(OUTPUT_BITS), Signal(OUTPUT_BITS), Signal()
        starts_at, row = Signal(OUTPUT_BITS), Signal.like(now.row)
        m.d.comb += [
            next_block.eq(block + self.sizes.block_rows),
            starts_at.eq(Mux(picked.first_block, self.first, next_block)),
            row.eq(Mux(following, now.row + picked.stride, now.row)),
        ]
        with m.If(picked.valid):
            m.d.sync += [
                now.element.eq(Mux(following, block, now.element + self.sizes.width)),
                now.row.eq(row),
                following.eq(picked.last_chunk),
            ]
        begins_block = picked.begins & picked.first_segment if several else picked.begins
        with m.If(begins_block & picked.first_pass):
            m.d.sync += [block.eq(starts_at), now.element.eq(starts_at), now.row.eq(picked.dst)]
        if several:
            whole, whole_row = Signal(OUTPUT_BITS), Signal.like(now.row)
            with m.Elif(begins_block):
                m.d.sync += [block.eq(whole), now.element.eq(whole)]
            with m.Elif(picked.begins):
                m.d.sync += [
                    block.eq(next_block),
                    now.element.eq(next_block),
                    now.row.eq(whole_row),
                ]
            with m.If(begins_block):
                m.d.sync += whole_row.eq(Mux(picked.first_pass, picked.dst, row))
                with m.If(picked.first_pass):
                    m.d.sync += whole.eq(starts_at)
        return now

    def _words(self, m: Module, chunk: data.View, results: list[Value]) -> None:
        """Put chunks of a word together; hold words until they can be written.

        `chunk` comes a cycle before its results.
        """
        lanes, width, words = self.sizes.lanes, self.sizes.width, self.sizes.words
        flags = ("set_end", "ends", "mm", "overflow")
        entry = Signal(
            data.StructLayout(
                dict.fromkeys(("valid", "flush", "some", *flags), 1)
                | {"address": address_bits(words), "put": lanes, "zero": lanes}
            )
        )
        m.d.sync += [
            *(entry[name].eq(chunk[name]) for name in ("valid", "flush", "address", *flags)),
            entry.some.eq(chunk.count.any() | chunk.tail),
        ]
        word, held = Signal(32 * lanes), Signal(32 * lanes, reset_less=True)
        for lane in range(lanes):
            position, place = divmod(lane, width)
            here, before = chunk.position == position, chunk.position < position
            m.d.sync += [
                entry.put[lane].eq(here & (place < chunk.count)),
                entry.zero[lane].eq(chunk.tail & (before | (here & (place >= chunk.count)))),
            ]
            m.d.comb += word.word_select(lane, 32).eq(
                Mux(
                    entry.put[lane],
                    results[place],
                    Mux(entry.zero[lane], 0, held.word_select(lane, 32)),
                )
            )
        held_mask, held_some = Signal(lanes), Signal()
        mask = held_mask | entry.put | entry.zero
        with m.If(entry.valid):
            m.d.sync += [
                held.eq(word),
                held_mask.eq(Mux(entry.flush, 0, mask)),
                held_some.eq(~entry.flush & (held_some | entry.some)),
            ]
        layout = data.StructLayout(
            {"write": write_layout(words, lanes), "some": 1} | dict.fromkeys(flags, 1)
        )
        given = Signal(layout)
        some = held_some | entry.some
        m.d.comb += [
            given.write.address.eq(entry.address),
            given.write.data.as_value().eq(word),
            given.write.mask.eq(mask),
            given.some.eq(some),
            *(given[name].eq(entry[name]) for name in flags),
        ]
        self._write(m, given, entry.valid & entry.flush & (some | entry.set_end))

    def _write(self, m: Module, given: data.View, enters: Value) -> None:
        """Queue words, and say what has been written."""
        layout = given.shape()
        depth = self.sets * self.sizes.tokens * self.touched
        m.submodules.queue = queue = RegisteredFifo(shape=layout, depth=max(3, depth))
        taken, leaves = queue.taken.payload, Signal()
        m.d.comb += [
            queue.items.payload.eq(given),
            queue.items.valid.eq(enters),
            self.write.payload.eq(taken.write),
            self.write.valid.eq(queue.taken.valid & taken.some),
            queue.taken.ready.eq(self.write.ready | ~taken.some),
            leaves.eq(queue.taken.valid & queue.taken.ready),
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
