"""LD: memory to the weight stream and the vector buffer."""

from __future__ import annotations

from collections.abc import Callable

from amaranth.hdl import Cat, Module, Mux, Signal
from amaranth.lib import data, enum, stream
from amaranth.lib.fifo import SyncFIFOBuffered
from amaranth.lib.wiring import In, Out, connect, flipped

from alula.gateware.arithmetic.quotient import quotient
from alula.gateware.buffers.vector_buffer import write_layout
from alula.gateware.control.command import layout, opcode
from alula.gateware.control.fault import Code
from alula.gateware.hdl.axi import reader
from alula.gateware.memory import bursts, unpack
from alula.gateware.memory.engine import MemoryEngine
from alula.gateware.memory.read_master import ReadMaster
from alula.gateware.memory.unpack import Unpack, row_layout
from alula.gateware.stream.room import Room
from alula.gateware.stream.steps import BLOCK_BITS, GROUP_BITS
from alula.gateware.stream.weight_beats import WeightBeats
from alula.gateware.stream.weight_format import by_format
from alula.gateware.stream.weight_stream import TAG, beat_layout
from alula.isa.formats import QUARTERS, BeatKind, WeightFormat
from alula.isa.instructions import Engine

__all__ = ["IDLE", "INSTRUCTION", "JOBS", "Load"]

JOBS = 8
"""Instructions, or rows of LD.G, that wait for their data."""
IDLE = 7
"""Cycles of an instruction that loads nothing."""
INSTRUCTION = IDLE + bursts.LATENCY + unpack.LATENCY
"""Cycles that LD.V takes beside memory's latency and its words."""
_FACTOR_BITS = 20


class _State(enum.Enum, shape=4):
    IDLE = 0
    DECODE = 1
    MULTIPLY = 2
    SIZE = 3
    SUM = 4
    CHECK = 5
    TAG = 6
    JOB = 7
    TRANSFER = 8
    IDS = 9
    ROW = 10
    STOPPED = 11


class _Job(enum.Enum, shape=2):
    NOTHING = 0
    MATRIX = 1
    ROW = 2
    IDS = 3


class Load(MemoryEngine):
    """The LD engine: one side asks for beats, running ahead; the other hands them on as they come.

    Both go through the instructions in order; what one asks for while the other still waits is
    limited by `JOBS`, by the outstanding bursts of `ReadMaster` and by `Room`. Weight beats follow
    each other without a gap, across instructions too.

    Parameters:
        channels, beat_bytes, memory_beats, words, lanes, cores: As of `MemoryEngine`.
        stream_beats: Value beats of the weight stream.
        sparse: Matrices may have a pattern.

    Members: those of `MemoryEngine`, with read ports, and
        tag: To the weight stream, before an LD.W's beats.
        beat: To the weight stream.
        free: Beats that each ring of the weight stream can take now.
        part, whole: Of several cores: this core's parts of the beats of vectors and ids; the same
            beats whole, each in the cycle in which its part is taken.
        write: To the vector buffer.
        newest: `error` is of the instruction taken last, not of the oldest.
    """

    def __init__(
        self,
        *,
        channels: int,
        beat_bytes: int,
        memory_beats: int,
        words: int,
        lanes: int,
        stream_beats: int,
        cores: int = 1,
        sparse: bool = False,
    ) -> None:
        self.stream_beats, self.sparse = stream_beats, bool(sparse)
        self._room = room = Room(depth=stream_beats, sparse=self.sparse)
        width = channels * beat_bytes
        exchange = {
            "part": Out(stream.Signature(8 * width)),
            "whole": In(stream.Signature(8 * cores * width)),
        }
        super().__init__(
            Engine.LD,
            reader,
            {
                "tag": Out(stream.Signature(TAG)),
                "beat": Out(stream.Signature(beat_layout(width // 8))),
                "free": room.signature.members["free"],
                **(exchange if cores > 1 else {}),
                "write": Out(stream.Signature(write_layout(words, lanes))),
                "newest": Out(1),
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
        row = row_layout(self.words, self.lanes)
        job_shape = data.StructLayout(
            {
                "kind": _Job,
                "ends": 1,
                "address": self.beat_bits,
                "stride": self.beat_bits,
                "matrix": data.StructLayout(TAG.members),
                "row": row,
            }
        )
        master = ReadMaster(
            channels=self.channels, beat_bits=self.beat_bits, beat_bytes=self.beat_bytes
        )
        latch, stopped = self.attach(m, master)
        m.submodules.room = room = self._room
        m.submodules.jobs = jobs = SyncFIFOBuffered(width=job_shape.size, depth=JOBS)
        m.d.comb += [
            master.room.eq(room.beats),
            master.growing.eq(room.growing),
            room.asked.eq(master.asked),
            *(mine.eq(theirs) for mine, theirs in zip(room.free, self.free, strict=True)),
        ]
        ids, ids_there = Signal(8 * self.whole_width), Signal()
        asking = self._ask(m, master, latch.report[0], jobs, job_shape, ids, ids_there, stopped)
        handing = self._hand(m, master, latch.report[1], jobs, job_shape, ids, ids_there)
        m.d.comb += self.busy.eq(asking | handing | jobs.r_rdy | (jobs.level != 0))
        m.d.comb += self.newest.eq(latch.source == 0)
        return m

    def _ask(self, m, master, report, jobs, job_shape, ids, ids_there, stopped) -> Signal:
        """From commands to transfers and jobs."""
        command = Signal(layout(Engine.LD))
        state = Signal(_State)
        after, following = Signal(_State), Signal(_State)
        job = Signal(job_shape)
        transfer = Signal(master.transfer.payload.shape())
        factor, other = Signal(32), Signal(_FACTOR_BITS)
        product = Signal(32 + _FACTOR_BITS)
        wait = Signal(2)
        m.d.sync += product.eq(factor * other)
        address, beats = Signal(33), Signal(33 + 3)
        room, matrix = self._room, command.opcode == opcode("LD.W")
        # Quarters of beats that LD.W takes for values and indices, for metas, for scales.
        quarters = [Signal(38, name=f"quarters_{number}") for number in range(3)]
        row_quarters, total = Signal(38), Signal(36)
        blocks_left, rows_left = Signal(BLOCK_BITS), Signal(_FACTOR_BITS)
        ids_address, ids_left = Signal(33), Signal(range(self.whole_width // 4 + 1))
        row_beats, row_words = Signal(_FACTOR_BITS), Signal(_FACTOR_BITS)
        dst = Signal(_FACTOR_BITS + 1)

        def fail(code: Code, detail: object) -> None:
            m.d.comb += [report.code.eq(code), report.detail.eq(detail)]
            m.d.sync += state.eq(_State.STOPPED)

        def go(target: _State) -> None:
            m.d.sync += state.eq(target)

        def multiply(a: object, b: object, then: _State) -> None:
            m.d.sync += [factor.eq(a), other.eq(b), wait.eq(1), after.eq(then)]
            go(_State.MULTIPLY)

        elements = Signal(32)
        m.d.comb += elements.eq(Mux(command.opcode == opcode("LD.G"), command.len, command.count))
        most = self.words * self.lanes
        short = elements[: most.bit_length()]
        size = Mux(command.type == 1, short << 1, short << 2)
        needed = Signal(_FACTOR_BITS)
        words = Signal(_FACTOR_BITS)
        padded = Signal(len(size) + 1)
        m.d.comb += [
            padded.eq(size + (self.whole_width - 1)),
            needed.eq(quotient(padded, self.whole_width)),
            words.eq(quotient((short + (self.lanes - 1)), self.lanes)),
        ]
        blocks, groups = command.blocks, command.groups
        format_code = Cat(command.fmt, command.nm)

        def chosen(choose: Callable[[WeightFormat], int], name: str) -> Signal:
            return by_format(m, format_code, choose, name=name, sparse=self.sparse)

        known = chosen(lambda _: 1, "known")
        # Quarters of beats that a group's values and indices take; the latter fill whole beats.
        per_group = chosen(
            lambda item: item.quarters(BeatKind.VALUE) + item.quarters(BeatKind.INDEX), "per_group"
        )
        metas = chosen(lambda item: item.quarters(BeatKind.META), "metas")
        scales = chosen(lambda item: item.quarters(BeatKind.SCALE), "scales")

        m.d.comb += [
            self.command.ready.eq((state == _State.IDLE) & ~stopped & ~self.cancel),
            jobs.w_data.eq(job),
            jobs.w_en.eq((state == _State.JOB) & (~matrix | room.matrix.ready)),
            room.matrix.valid.eq((state == _State.JOB) & matrix & jobs.w_rdy),
            room.matrix.payload.format.eq(format_code),
            room.matrix.payload.blocks.eq(command.blocks),
            room.matrix.payload.groups.eq(command.groups),
            self.tag.valid.eq(state == _State.TAG),
            self.tag.payload.mm.eq(command.to),
            self.tag.payload.format.eq(format_code),
            self.tag.payload.blocks.eq(command.blocks),
            self.tag.payload.groups.eq(command.groups),
            transfer.address.eq(address),
            transfer.beats.eq(beats),
            transfer.metered.eq(matrix),
            master.transfer.payload.eq(transfer),
        ]
        with m.Switch(state):
            with m.Case(_State.IDLE):
                m.d.sync += command.eq(self.command.payload)
                with m.If(self.command.valid & self.command.ready):
                    go(_State.DECODE)
            with m.Case(_State.DECODE):
                m.d.sync += [
                    job.eq(0),
                    job.ends.eq(1),
                    following.eq(_State.IDLE),
                    address.eq(command.addr),
                    row_beats.eq(needed),
                    row_words.eq(words),
                    dst.eq(command.dst),
                    rows_left.eq(command.count),
                    blocks_left.eq(command.blocks),
                ]
                go(_State.JOB)
                with m.Switch(command.opcode):
                    with m.Case(opcode("LD.W")):
                        with m.If(~known):
                            fail(Code.UNSUPPORTED, format_code)
                        with m.Elif((blocks == 0) | (groups == 0)):
                            fail(Code.UNDEFINED, 0)
                        with m.Elif((command.stride != 0) & scales.any()):
                            fail(Code.UNDEFINED, command.stride)
                        with m.Elif((blocks >> BLOCK_BITS).any()):
                            fail(Code.OUT_OF_RANGE, blocks)
                        with m.Elif((groups >> GROUP_BITS).any()):
                            fail(Code.OUT_OF_RANGE, groups)
                        with m.Else():
                            m.d.sync += [
                                job.kind.eq(_Job.MATRIX),
                                job.address.eq(command.addr),
                                job.stride.eq(command.stride),
                                job.matrix.format.eq(format_code),
                                job.matrix.blocks.eq(command.blocks),
                                job.matrix.groups.eq(command.groups),
                            ]
                            multiply(blocks, groups, _State.SIZE)
                    with m.Case(opcode("LD.V")), m.If(elements != 0):
                        with m.If((elements > most) | (command.dst + words > self.words)):
                            fail(Code.OUT_OF_RANGE, command.dst)
                        with m.Elif(command.addr + needed > self.memory_beats):
                            fail(Code.OUT_OF_RANGE, command.addr)
                        with m.Else():
                            m.d.sync += [
                                job.kind.eq(_Job.ROW),
                                job.address.eq(command.addr),
                                job.row.count.eq(elements),
                                job.row.dst.eq(command.dst),
                                job.row.bf16.eq(command.type == 1),
                                beats.eq(needed),
                                following.eq(_State.TRANSFER),
                            ]
                    with m.Case(opcode("LD.G")), m.If((elements != 0) & (command.count != 0)):
                        m.d.sync += [ids_address.eq(command.ids), ids_left.eq(0)]
                        with m.If((elements > most) | (command.count >> _FACTOR_BITS).any()):
                            fail(Code.OUT_OF_RANGE, command.len)
                        with m.Else():
                            multiply(words, command.count, _State.SIZE)
            with m.Case(_State.MULTIPLY):
                m.d.sync += wait.eq(wait - 1)
                with m.If(wait == 0):
                    m.d.sync += state.eq(after)
            with m.Case(_State.SIZE):
                m.d.sync += [
                    quarters[0].eq(product * per_group),
                    quarters[1].eq(product * metas),
                    quarters[2].eq(blocks * scales),
                    row_quarters.eq(groups * per_group),
                ]
                go(_State.SUM)
                with m.If(command.opcode == opcode("LD.G")):
                    go(_State.IDS)
                    with m.If(command.dst + product > self.words):
                        fail(Code.OUT_OF_RANGE, command.dst)
            with m.Case(_State.SUM):
                m.d.sync += [
                    total.eq(sum((number + (QUARTERS - 1)) >> 2 for number in quarters)),
                    following.eq(_State.TRANSFER),
                ]
                go(_State.CHECK)
            with m.Case(_State.CHECK):
                m.d.sync += beats.eq(Mux(command.stride != 0, row_quarters >> 2, total))
                go(_State.TAG)
                with m.If((command.stride == 0) & (command.addr + total > self.memory_beats)):
                    fail(Code.OUT_OF_RANGE, command.addr)
            with m.Case(_State.TAG), m.If(self.tag.ready):
                go(_State.JOB)
            with m.Case(_State.JOB), m.If(jobs.w_rdy & (~matrix | room.matrix.ready)):
                m.d.sync += state.eq(following)
            with m.Case(_State.TRANSFER):
                with m.If(address + beats > self.memory_beats):
                    fail(Code.OUT_OF_RANGE, address)
                with m.Else():
                    m.d.comb += master.transfer.valid.eq(1)
                    with m.If(master.transfer.ready), m.Switch(job.kind):
                        with m.Case(_Job.MATRIX):
                            go(_State.IDLE)
                            m.d.sync += [
                                address.eq(address + command.stride),
                                blocks_left.eq(blocks_left - 1),
                            ]
                            with m.If((command.stride != 0) & (blocks_left != 1)):
                                go(_State.TRANSFER)
                        with m.Case(_Job.ROW):
                            go(_State.IDLE)
                            with m.If((command.opcode == opcode("LD.G")) & ~job.ends):
                                go(_State.IDS)
                        with m.Case(_Job.IDS):
                            go(_State.IDS)
            with m.Case(_State.IDS):
                m.d.sync += [job.eq(0), following.eq(_State.TRANSFER)]
                with m.If(ids_left == 0):
                    m.d.sync += [
                        job.kind.eq(_Job.IDS),
                        job.address.eq(ids_address),
                        address.eq(ids_address),
                        beats.eq(1),
                        ids_address.eq(ids_address + 1),
                        ids_left.eq(self.whole_width // 4),
                        ids_there.eq(0),
                    ]
                    go(_State.JOB)
                with m.Elif(ids_there):
                    multiply(ids[:32], row_beats, _State.ROW)
            with m.Case(_State.ROW):
                m.d.sync += [
                    job.kind.eq(_Job.ROW),
                    job.ends.eq(rows_left == 1),
                    job.address.eq(command.table + product),
                    job.row.count.eq(elements),
                    job.row.dst.eq(dst),
                    job.row.bf16.eq(command.type == 1),
                    address.eq(command.table + product),
                    beats.eq(row_beats),
                    dst.eq(dst + row_words),
                    rows_left.eq(rows_left - 1),
                    ids.eq(ids.shift_right(32)),
                    ids_left.eq(ids_left - 1),
                ]
                go(_State.JOB)
                with m.If(command.table + product >= self.memory_beats):
                    fail(Code.OUT_OF_RANGE, command.table + product)
        return state != _State.IDLE

    def _hand(self, m, master, report, jobs, job_shape, ids, ids_there) -> Signal:
        """From beats to where their jobs send them."""
        m.submodules.walk = walk = WeightBeats(sparse=self.sparse)
        m.submodules.unpack = unpack = Unpack(
            beat_bytes=self.whole_width, words=self.words, lanes=self.lanes
        )
        connect(m, unpack.word, flipped(self.write))
        coming, job = Signal(job_shape), Signal(job_shape)
        active, over, given = Signal(), Signal(), Signal()
        passed, block = Signal(self.beat_bits), Signal(self.beat_bits)
        beat = master.beat
        if self.cores > 1:
            part, whole = self.part, self.whole
        else:
            part = whole = stream.Signature(8 * self.width).create()
        moves = beat.valid & beat.ready
        wants = Signal()
        m.d.comb += [
            coming.eq(jobs.r_data),
            jobs.r_en.eq(jobs.r_rdy & (~active | over)),
            walk.matrix.format.eq(coming.matrix.format),
            walk.matrix.blocks.eq(coming.matrix.blocks),
            walk.matrix.groups.eq(coming.matrix.groups),
            walk.start.eq(jobs.r_en),
            self._room.kind.eq(walk.kind),
            self.beat.payload.data.eq(beat.payload),
            self.beat.payload.kind.eq(walk.kind),
            part.payload.eq(beat.payload),
            unpack.beat.payload.eq(whole.payload),
            unpack.row.payload.eq(job.row),
            unpack.row.payload.ends.eq(job.ends),
            self.done.eq(active & over & job.ends),
        ]
        with m.If(jobs.r_en):
            m.d.sync += [job.eq(coming), active.eq(1), given.eq(0)]
            m.d.sync += [passed.eq(coming.address), block.eq(coming.address)]
        with m.Elif(over):
            m.d.sync += active.eq(0)
        with m.If(moves & ~jobs.r_en):
            m.d.sync += passed.eq(passed + 1)
            with m.If(walk.ends_block & (job.kind == _Job.MATRIX) & (job.stride != 0)):
                m.d.sync += [passed.eq(block + job.stride), block.eq(block + job.stride)]
        with m.If(active), m.Switch(job.kind):
            with m.Case(_Job.NOTHING):
                m.d.comb += over.eq(1)
            with m.Case(_Job.MATRIX):
                m.d.comb += [
                    wants.eq(1),
                    self.beat.valid.eq(beat.valid),
                    beat.ready.eq(self.beat.ready),
                    walk.next.eq(moves),
                    self._room.enters.eq(moves),
                    over.eq(moves & walk.last),
                ]
            with m.Case(_Job.ROW):
                m.d.comb += [
                    wants.eq(given & unpack.beat.ready),
                    unpack.row.valid.eq(~given),
                    part.valid.eq(beat.valid & given),
                    beat.ready.eq(part.ready & given),
                    unpack.beat.valid.eq(whole.valid & given),
                    whole.ready.eq(unpack.beat.ready & given),
                    over.eq(given & ~unpack.busy),
                ]
                with m.If(~given & unpack.row.ready):
                    m.d.sync += given.eq(1)
            with m.Case(_Job.IDS):
                m.d.comb += [
                    wants.eq(1),
                    part.valid.eq(beat.valid),
                    beat.ready.eq(part.ready),
                    whole.ready.eq(1),
                    over.eq(moves),
                ]
                with m.If(moves):
                    m.d.sync += [ids.eq(whole.payload), ids_there.eq(1)]
        # What memory refuses is the beat that the job at hand wants next, once it wants one.
        with m.If(master.error & wants):
            m.d.comb += [
                report.code.eq(Mux(master.response[0], Code.READ_DECERR, Code.READ_SLVERR)),
                report.detail.eq(passed),
            ]
        self._use(m, active & ~moves, job.kind, unpack.beat.ready)
        return active

    def _use(self, m, stands, kind, unpacks) -> None:
        """Say what the instruction whose beats come next waits for; `stands`: none passes."""
        master, room = m.submodules.master, self._room
        there = master.beat.valid
        with m.If(~stands):
            m.d.comb += self.blocked.eq(self.tag.valid & ~self.tag.ready & ~there)
        with m.Else(), m.Switch(kind):
            with m.Case(_Job.MATRIX):
                m.d.comb += [
                    self.blocked.eq(there | (room.waits & master.quiet)),
                    self.starved.eq(~self.blocked),
                ]
            with m.Case(_Job.ROW):
                m.d.comb += [
                    self.blocked.eq(self.write.valid & ~self.write.ready),
                    self.starved.eq(~self.write.valid & unpacks & ~there),
                ]
            with m.Case(_Job.IDS):
                m.d.comb += self.starved.eq(1)
