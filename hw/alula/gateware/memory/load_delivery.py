"""The side of LD that hands beats on as they come, job by job."""

from __future__ import annotations

from amaranth.hdl import Module, Signal, Value
from amaranth.lib import data, stream
from amaranth.lib.fifo import SyncFIFOBuffered
from amaranth.lib.wiring import Component, In, Out, connect, flipped

from alula.gateware.buffers.vector_buffer import write_layout
from alula.gateware.memory.load_jobs import JobKind, job_layout
from alula.gateware.memory.sizes import MemorySizes
from alula.gateware.memory.unpack import Unpack
from alula.gateware.stream.weight_beats import WeightBeats
from alula.gateware.stream.weight_stream import beat_layout

__all__ = ["JOBS", "LoadDelivery"]

JOBS = 8
"""Instructions, or rows of LD.G, that wait for their data."""


class LoadDelivery(Component):
    """Takes beats from memory in order and hands each to where its job sends it.

    Args:
        sizes: Of the memory.
        sparse: Matrices may have a pattern.

    Members:
        job: Stream of jobs, up to `JOBS` ahead of their beats.
        beat: Stream of beats from memory: this core's part.
        weights: Stream of beats to the weight stream. A beat waits while its ring is full.
        enters: A beat passes there.
        part, whole: Of several cores: this core's parts of the beats of vectors and ids; the same
            beats whole, each in the cycle in which its part is taken. Of one core they are one.
        write: Stream of words to the vector buffer.
        ids, ids_valid: A beat of row numbers passes.
        done: An instruction's last word or beat has been taken; high for one cycle.
        busy: There is a job.
        wants: The job at hand can take `passed`, the address of the next beat.
        full: The weight stream has no place left, and memory owes nothing.
        idle: No job is at hand, or a beat passes.
        starved, blocked: Otherwise: it waits for memory, or for who takes what came.
    """

    def __init__(self, sizes: MemorySizes, *, sparse: bool) -> None:
        self.sizes, self.sparse = sizes, sparse
        super().__init__(
            {
                "job": In(stream.Signature(job_layout(sizes))),
                "beat": In(stream.Signature(8 * sizes.width)),
                "weights": Out(stream.Signature(beat_layout(sizes.width // 8))),
                "enters": Out(1),
                "part": Out(stream.Signature(8 * sizes.width)),
                "whole": In(stream.Signature(8 * sizes.whole_width)),
                "write": Out(stream.Signature(write_layout(sizes.words, sizes.lanes))),
                "ids": Out(8 * sizes.whole_width),
                "ids_valid": Out(1),
                "done": Out(1),
                "busy": Out(1),
                "wants": Out(1),
                "passed": Out(sizes.beat_bits),
                "full": In(1),
                "starved": Out(1),
                "blocked": Out(1),
                "idle": Out(1),
            }
        )

    def elaborate(self, platform: object) -> Module:
        """Make the module."""
        m = Module()
        layout = job_layout(self.sizes)
        m.submodules.jobs = jobs = SyncFIFOBuffered(width=layout.size, depth=JOBS)
        m.submodules.walk = walk = WeightBeats(sparse=self.sparse)
        m.submodules.unpack = unpack = Unpack(
            beat_bytes=self.sizes.whole_width, words=self.sizes.words, lanes=self.sizes.lanes
        )
        connect(m, unpack.word, flipped(self.write))
        coming, job = Signal(layout), Signal(layout)
        active, over, given, takes = Signal(), Signal(), Signal(), Signal()
        passes = self.beat.valid & self.beat.ready
        m.d.comb += [
            jobs.w_data.eq(self.job.payload),
            jobs.w_en.eq(self.job.valid),
            self.job.ready.eq(jobs.w_rdy),
            coming.eq(jobs.r_data),
            takes.eq(jobs.r_rdy & (~active | over)),
            jobs.r_en.eq(takes),
            walk.matrix.eq(coming.matrix),
            walk.start.eq(takes),
            self.weights.payload.data.eq(self.beat.payload),
            self.weights.payload.kind.eq(walk.kind),
            self.part.payload.eq(self.beat.payload),
            unpack.beat.payload.eq(self.whole.payload),
            unpack.row.payload.count.eq(job.count),
            unpack.row.payload.dst.eq(job.asked.dst),
            unpack.row.payload.bf16.eq(job.bf16),
            unpack.row.payload.ends.eq(job.asked.ends),
            self.ids.eq(self.whole.payload),
            self.done.eq(active & over & job.asked.ends),
            self.busy.eq(active | jobs.r_rdy | (jobs.level != 0)),
            self.idle.eq(~active | passes),
        ]
        with m.If(takes):
            m.d.sync += [job.eq(coming), active.eq(1), given.eq(0)]
        with m.Elif(over):
            m.d.sync += active.eq(0)
        self._follow(m, takes, passes & walk.ends_block & (job.asked.kind == JobKind.MATRIX), job)
        with m.If(active), m.Switch(job.asked.kind):
            with m.Case(JobKind.NOTHING):
                m.d.comb += over.eq(1)
            with m.Case(JobKind.MATRIX):
                m.d.comb += [
                    self.wants.eq(1),
                    self.weights.valid.eq(self.beat.valid),
                    self.beat.ready.eq(self.weights.ready),
                    walk.next.eq(passes),
                    self.enters.eq(passes),
                    over.eq(passes & walk.last),
                    self.blocked.eq(self.beat.valid | self.full),
                    self.starved.eq(~self.blocked),
                ]
            with m.Case(JobKind.ROW):
                self._row(m, unpack, given)
                m.d.comb += over.eq(given & ~unpack.busy)
            with m.Case(JobKind.IDS):
                m.d.comb += [
                    self.wants.eq(1),
                    self.part.valid.eq(self.beat.valid),
                    self.beat.ready.eq(self.part.ready),
                    self.whole.ready.eq(1),
                    self.ids_valid.eq(passes),
                    over.eq(passes),
                    self.starved.eq(1),
                ]
        return m

    def _row(self, m: Module, unpack: Unpack, given: Signal) -> None:
        """Tell `unpack` of the row at hand, which is then `given`; bring it the row's beats."""
        m.d.comb += [
            self.wants.eq(given & unpack.beat.ready),
            unpack.row.valid.eq(~given),
            self.part.valid.eq(self.beat.valid & given),
            self.beat.ready.eq(self.part.ready & given),
            unpack.beat.valid.eq(self.whole.valid & given),
            self.whole.ready.eq(unpack.beat.ready & given),
            self.blocked.eq(self.write.valid & ~self.write.ready),
            self.starved.eq(~self.write.valid & unpack.beat.ready & ~self.beat.valid),
        ]
        with m.If(~given & unpack.row.ready):
            m.d.sync += given.eq(1)

    def _follow(self, m: Module, begins: Value, ends_block: Value, job: data.View) -> None:
        """Keep the address of the next beat in `passed`."""
        address = job_layout(self.sizes)(m.submodules.jobs.r_data).asked.address
        block = Signal(self.sizes.beat_bits)
        with m.If(begins):
            m.d.sync += [self.passed.eq(address), block.eq(address)]
        with m.Elif(self.beat.valid & self.beat.ready):
            m.d.sync += self.passed.eq(self.passed + 1)
            with m.If(ends_block & (job.stride != 0)):
                m.d.sync += [self.passed.eq(block + job.stride), block.eq(block + job.stride)]
