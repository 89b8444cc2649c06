"""ST: vector buffer and staging to memory."""

from __future__ import annotations

from amaranth.hdl import Array, Cat, Const, Module, Mux, Signal, Value
from amaranth.lib import data, enum, stream
from amaranth.lib.wiring import In, Out, connect, flipped

from alula.gateware.arithmetic.quotient import multiple, quotient
from alula.gateware.buffers import staging_buffer
from alula.gateware.buffers.vector_buffer import address_bits
from alula.gateware.control.command import layout, opcode
from alula.gateware.control.fault import Code
from alula.gateware.hdl.axi import writer
from alula.gateware.memory import bursts, pack
from alula.gateware.memory.engine import MemoryEngine
from alula.gateware.memory.pack import Pack
from alula.gateware.memory.write_master import WriteMaster
from alula.isa.formats import BLOCK
from alula.isa.instructions import Engine
from alula.isa.kv import KV_GROUPS, row_bytes

__all__ = ["CYCLES_PER_RUN", "IDLE", "INSTRUCTION", "Store"]

IDLE = 4
"""Cycles of an instruction that stores nothing."""
INSTRUCTION = IDLE + 1 + bursts.LATENCY + pack.LATENCY
"""Cycles that ST.V takes beside its words and memory's last answer."""

CYCLES_PER_RUN = 6
"""Cycles of one strobed run of ST.K and ST.T, where memory takes it at once."""
_POSITION_BITS = 24
_ADDRESS_BITS = 35


class _State(enum.Enum, shape=4):
    IDLE = 0
    DECODE = 1
    TOKEN = 2
    PLACE = 3
    HEAD = 4
    ASK = 5
    TAKE = 6
    RUN = 7
    SCALE = 8
    FINISH = 9
    STOPPED = 10


class Store(MemoryEngine):
    """The ST engine, one instruction at a time; done when memory has acknowledged all of it.

    ST.V streams bursts, a beat a cycle. ST.K and ST.T write run by run: 16 bytes of K, or the
    values of V that share a channel's beat, go to one channel with their strobes alone.

    Parameters:
        channels, beat_bytes, memory_beats, words, lanes, cores: As of `MemoryEngine`.
        staging_bytes: Size of the staging buffer.

    Members: those of `MemoryEngine`, with write ports, and
        number: Of this core; constant.
        request, word: A reader's ports of the vector buffer.
        staging_request, part: The read ports of the staging buffer.
    """

    def __init__(
        self,
        *,
        channels: int,
        beat_bytes: int,
        memory_beats: int,
        words: int,
        lanes: int,
        staging_bytes: int,
        cores: int = 1,
    ) -> None:
        if beat_bytes < 8:
            raise ValueError(f"beat_bytes must be at least 8, not {beat_bytes}")
        self.staging_bytes = staging_bytes
        place = staging_buffer.place_layout(staging_bytes)
        super().__init__(
            Engine.ST,
            writer,
            {
                "number": In(range(max(2, cores))),
                "request": Out(stream.Signature(address_bits(words))),
                "word": In(stream.Signature(data.ArrayLayout(32, lanes))),
                "staging_request": Out(stream.Signature(place)),
                "part": In(stream.Signature(staging_buffer.read_layout())),
            },
            channels=channels,
            beat_bytes=beat_bytes,
            memory_beats=memory_beats,
            words=words,
            lanes=lanes,
            cores=cores,
        )

    def elaborate(self, platform: object) -> Module:
        """Make the module."""
        m = Module()
        lane, rows = self.beat_bytes, self.beat_bytes // 8
        everything = self.cores * self.channels
        block_rows = rows * everything
        most = self.words * self.lanes
        master = WriteMaster(channels=self.channels, beat_bits=self.beat_bits, beat_bytes=lane)
        latch, stopped = self.attach(m, master)
        m.submodules.pack = pack = Pack(
            channels=everything, beat_bytes=lane, lanes=self.lanes, most=most
        )
        connect(m, flipped(self.word), pack.word)
        state = Signal(_State)
        command = Signal(layout(Engine.ST))

        def go(target: _State) -> None:
            m.d.sync += state.eq(target)

        def fail(code: Code, detail: object) -> None:
            m.d.comb += [latch.report[0].code.eq(code), latch.report[0].detail.eq(detail)]
            go(_State.STOPPED)

        # One strobed beat at a time: its transfer and its data leave independently.
        run_address, run_channels = Signal(self.beat_bits), Signal(self.channels)
        run_data, run_strobe = Signal(8 * lane), Signal(lane)
        asks, gives = Signal(), Signal()
        vector = Signal()
        m.d.comb += [
            self.busy.eq(state != _State.IDLE),
            self.command.ready.eq((state == _State.IDLE) & ~stopped & ~self.cancel),
            vector.eq(command.opcode == opcode("ST.V")),
            master.transfer.valid.eq(asks),
            master.beat.valid.eq(gives),
            # Only the channels of its transfer see it.
            master.beat.payload.data.eq(run_data.replicate(self.channels)),
            master.beat.payload.strobe.eq(run_strobe.replicate(self.channels)),
        ]

        def own(value: Value, bits: int) -> Value:
            """This core's part of what there is for each channel of all cores."""
            if self.cores == 1:
                return value[: bits * self.channels]
            size = bits * self.channels
            parts = (value[size * core : size * (core + 1)] for core in range(self.cores))
            return Array(parts)[self.number]

        with m.If(asks & master.transfer.ready):
            m.d.sync += asks.eq(0)
        with m.If(gives & master.beat.ready):
            m.d.sync += gives.eq(0)
        beats = Signal(self.beat_bits + 1)
        everywhere = (1 << self.channels) - 1
        m.d.comb += master.transfer.payload.eq(
            Cat(
                run_address,
                Mux(vector, beats, 1),
                Const(0, 1),
                Mux(vector, everywhere, run_channels),
            )
        )
        with m.If(vector):
            m.d.comb += [
                master.beat.valid.eq(pack.beat.valid),
                master.beat.payload.data.eq(own(pack.beat.payload.data, 8 * lane)),
                master.beat.payload.strobe.eq(own(pack.beat.payload.strobe, lane)),
                pack.beat.ready.eq(master.beat.ready),
            ]

        def put(address: Value, channel: Value, values: Value, strobe: Value, then: _State) -> None:
            """Write some bytes of one channel's part of a beat, if the channel is this core's."""
            mine = own(1 << channel, 1)
            with m.If(~asks & ~gives):
                with m.If(address >= self.memory_beats):
                    fail(Code.OUT_OF_RANGE, address)
                with m.Else():
                    m.d.sync += [
                        run_address.eq(address),
                        run_channels.eq(mine),
                        run_data.eq(values),
                        run_strobe.eq(strobe),
                        asks.eq(mine.any()),
                        gives.eq(mine.any()),
                    ]
                    go(then)

        # Where a token's row (K) or column (V) lies.
        position, block = Signal(_POSITION_BITS), Signal(_POSITION_BITS)
        rest = Signal(range(max(2, block_rows)))
        channel, row = Signal(range(max(2, everything))), Signal(range(max(2, rows)))
        quad, scale_offset = Signal(_POSITION_BITS), Signal(_ADDRESS_BITS)
        m.d.comb += [
            channel.eq(rest >> (rows.bit_length() - 1)),
            row.eq(rest & (rows - 1)),
            quad.eq(block >> 2),
        ]
        k_offset = Signal(_ADDRESS_BITS)  # of the values of its row
        base, pitched = Signal(_ADDRESS_BITS), Signal(_ADDRESS_BITS)
        tokens_left, heads_left = Signal(32), Signal(32)
        source = Signal(32)
        part, piece = Signal(range(2 * KV_GROUPS)), Signal(range(BLOCK))
        staged = Signal(staging_buffer.read_layout())
        limits = Array(
            self.staging_bytes // row_bytes(groups) if groups else 0
            for groups in range(KV_GROUPS + 1)
        )
        is_k = command.opcode == opcode("ST.K")

        # K: a run of 16 bytes, cut where a channel's part is shorter.
        unit = min(BLOCK, lane)
        k_byte = Signal(range(BLOCK * rows))
        m.d.comb += k_byte.eq((row << 4) + piece * unit)
        k_address = base + k_offset + (part << 1) + (k_byte >> (lane.bit_length() - 1))
        k_values = Array(
            staged.data.as_value().word_select(i, 8 * unit) for i in range(BLOCK // unit)
        )[piece]
        k_strobe = ((1 << unit) - 1) << k_byte[: lane.bit_length() - 1]

        # V: the values of one channel that share a beat, 16 bytes apart.
        shared = min(max(rows // 2, 1), BLOCK)
        down = Signal(range(max(2, block_rows)))
        column = position[:4]
        j = down & (rows - 1)
        t_channel = down >> (rows.bit_length() - 1)
        bytes_of = Array(staged.data.as_value().word_select(i, 8) for i in range(BLOCK))
        chunk = [bytes_of[(piece * shared + i)[:4]] for i in range(shared)]
        t_address = base + pitched + ((position >> 4) << 1)
        if lane >= BLOCK:
            slots = lane // BLOCK
            t_values = Cat(chunk[s % shared].replicate(BLOCK) for s in range(slots))
            first = (j & (slots - 1)) >> (shared.bit_length() - 1)
            t_strobe = Cat(Mux(first == s // shared, 1 << column, 0)[:BLOCK] for s in range(slots))
            t_address = t_address + (j >> (slots.bit_length() - 1))
        else:
            t_values = chunk[0].replicate(lane)
            t_strobe = (1 << column[:3])[:lane]
            t_address = t_address + column[3]

        # The scale: two bytes.
        k_scale = Signal(range(lane))
        t_scale = Signal(range(self.whole_width))
        m.d.comb += [
            k_scale.eq(((block[:2] * rows) + row) << 1),
            t_scale.eq((block[:2] * block_rows + rest) << 1),
        ]
        skipped = Signal(range(self.whole_width))
        m.d.comb += skipped.eq(command.skip << 2)
        in_lane = lane.bit_length() - 1

        # ST.V asks for words while it writes.
        asked, words_left = Signal(address_bits(self.words) + 1), Signal(range(self.words + 1))
        size = Signal(range(4 * most + self.whole_width))
        short = command.count[: most.bit_length()]
        words = quotient(short + (self.lanes - 1), self.lanes)
        needed = Signal(self.beat_bits + 8)
        m.d.comb += [
            size.eq((short << 2) + (self.whole_width - 1)),
            needed.eq(quotient(size, self.whole_width)),
            self.request.payload.eq(asked),
            self.request.valid.eq(words_left != 0),
            pack.count.eq(command.count),
        ]
        with m.If(self.request.valid & self.request.ready):
            m.d.sync += [asked.eq(asked + 1), words_left.eq(words_left - 1)]

        over = ~asks & ~gives & ~pack.busy & master.quiet & ~master.error
        with m.Switch(state):
            with m.Case(_State.IDLE):
                m.d.sync += command.eq(self.command.payload)
                with m.If(self.command.valid & self.command.ready):
                    go(_State.DECODE)
            with m.Case(_State.DECODE):
                m.d.sync += [
                    position.eq(command.position),
                    tokens_left.eq(command.rows),
                    source.eq(command.src),
                    asked.eq(command.src),
                ]
                go(_State.FINISH)
                with m.Switch(command.opcode):
                    with m.Case(opcode("ST.V")), m.If(command.count != 0):
                        with m.If((command.count > most) | (command.src + words > self.words)):
                            fail(Code.OUT_OF_RANGE, command.src)
                        with m.Elif(command.addr + needed > self.memory_beats):
                            fail(Code.OUT_OF_RANGE, command.addr)
                        with m.Else():
                            m.d.comb += pack.start.eq(1)
                            m.d.sync += [
                                asks.eq(1),
                                run_address.eq(command.addr),
                                beats.eq(needed),
                                words_left.eq(words),
                            ]
                    with m.Case(opcode("ST.W")):
                        with m.If(command.skip >= self.whole_width // 4):
                            fail(Code.OUT_OF_RANGE, command.skip)
                        with m.Else():
                            go(_State.DECODE)
                            put(
                                command.addr,
                                skipped >> in_lane,
                                command.value.replicate(lane // 4),
                                0b1111 << skipped[:in_lane],
                                _State.FINISH,
                            )
                    with m.Case(opcode("ST.K"), opcode("ST.T")):
                        empty = (command.heads == 0) | (command.rows == 0)
                        with m.If(~empty & (command.groups != 0)):
                            go(_State.TOKEN)
                            with m.If(command.groups > KV_GROUPS):
                                fail(Code.OUT_OF_RANGE, command.groups)
                            with m.Elif((command.position >> _POSITION_BITS).any()):
                                fail(Code.OUT_OF_RANGE, command.position)
            with m.Case(_State.TOKEN):
                m.d.sync += block.eq(quotient(position, block_rows))
                go(_State.PLACE)
            with m.Case(_State.PLACE):
                m.d.sync += [
                    rest.eq(position - multiple(block, block_rows)),
                    scale_offset.eq(quad * ((command.groups[:4] << 4) + 1)),
                    base.eq(command.addr),
                    heads_left.eq(command.heads),
                ]
                go(_State.HEAD)
            with m.Case(_State.HEAD):
                m.d.sync += [
                    k_offset.eq(scale_offset + 1 + block[:2] * (command.groups[:4] << 2)),
                    *(place.eq(0) for place in (part, piece, down, pitched)),
                ]
                go(_State.ASK)
                with m.If(source >= limits[command.groups[:4]]):
                    fail(Code.OUT_OF_RANGE, source)
            with m.Case(_State.ASK):
                m.d.comb += self.staging_request.valid.eq(1)
                with m.If(self.staging_request.ready):
                    go(_State.TAKE)
            with m.Case(_State.TAKE):
                m.d.comb += self.part.ready.eq(1)
                m.d.sync += staged.eq(self.part.payload)
                with m.If(self.part.valid):
                    go(_State.RUN)
            with m.Case(_State.RUN):
                last_part = part == (command.groups[:4] << 1) - 1
                last_piece = Mux(is_k, piece == BLOCK // unit - 1, piece == BLOCK // shared - 1)
                with m.If(~asks & ~gives):
                    m.d.sync += piece.eq(Mux(last_piece, 0, piece + 1))
                    with m.If(last_piece):
                        m.d.sync += part.eq(part + 1)
                    with m.If(down == block_rows - shared):
                        m.d.sync += [down.eq(0), pitched.eq(pitched + command.pitch)]
                    with m.Else():
                        m.d.sync += down.eq(down + shared)
                following = Signal(_State)
                m.d.comb += following.eq(_State.RUN)
                with m.If(last_piece):
                    m.d.comb += following.eq(Mux(last_part, _State.SCALE, _State.ASK))
                with m.If(is_k):
                    values = k_values.replicate(lane // unit)
                    put(k_address, channel, values, k_strobe, following)
                with m.Else():
                    put(t_address, t_channel, t_values, t_strobe, following)
            with m.Case(_State.SCALE):
                scale = staged.scale.replicate(lane // 2)
                with m.If(~asks & ~gives):
                    m.d.sync += [
                        base.eq(base + command.stride),
                        heads_left.eq(heads_left - 1),
                        source.eq(source + 1),
                    ]
                    with m.If(heads_left == 1):
                        m.d.sync += [position.eq(position + 1), tokens_left.eq(tokens_left - 1)]
                then = Signal(_State)
                m.d.comb += then.eq(_State.HEAD)
                with m.If(heads_left == 1):
                    m.d.comb += then.eq(Mux(tokens_left == 1, _State.FINISH, _State.TOKEN))
                with m.If(is_k):
                    put(base + scale_offset, channel, scale, 0b11 << k_scale, then)
                with m.Else():
                    address = base + command.scales + quad
                    strobe = 0b11 << t_scale[:in_lane]
                    put(address, t_scale >> in_lane, scale, strobe, then)
            with m.Case(_State.FINISH), m.If(over):
                m.d.comb += self.done.eq(1)
                go(_State.IDLE)
        m.d.comb += [
            self.staging_request.payload.row.eq(source),
            self.staging_request.payload.part.eq(part),
            self.staging_request.payload.groups.eq(command.groups),
        ]
        finishing = (state == _State.FINISH) & ~asks & ~gives
        with m.If((master.beat.valid & master.beat.ready) | self.done):
            pass
        with m.Elif((state == _State.TAKE) | (finishing & pack.busy & ~pack.beat.valid)):
            m.d.comb += self.starved.eq(~Mux(vector, self.word.valid, self.part.valid))
        with m.Else():
            m.d.comb += self.blocked.eq(asks | gives | finishing)
        with m.If(master.error):
            code = Mux(master.response[0], Code.WRITE_DECERR, Code.WRITE_SLVERR)
            m.d.comb += [latch.report[1].code.eq(code), latch.report[1].detail.eq(master.refused)]
        return m
