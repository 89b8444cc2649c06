"""The side of LD that hands beats on as they come, job by job."""

from amaranth.hdl import Module, Signal, Value
from amaranth.lib import data, stream
from amaranth.lib.wiring import Component, In, Out, connect, flipped

from alula.gateware.buffers.vector_buffer import address_bits, write_layout
from alula.gateware.hdl.fifo import RegisteredFifo
from alula.gateware.hdl.skid_buffer import SkidBuffer
from alula.gateware.memory.load_jobs import JobKind, job_layout
from alula.gateware.memory.sizes import MemorySizes
from alula.gateware.memory.unpack import Unpack
from alula.gateware.stream.weight_beats import MATRIX, WeightBeats
from alula.gateware.stream.weight_stream import beat_layout

JOBS = 8
"""Instructions, or rows of LD.G, that wait for their data."""


class LoadDelivery(Component):
    """Takes beats from memory in order and hands each to where its job sends it.

    Args:
        sizes: Of the memory.
        sparse: Matrices may have a pattern.

    Members:
        job: Stream of jobs, up to `JOBS` ahead of their beats.
        matrix: Stream of the matrices, each before its job.
        beat: Stream of beats from memory: this core's slice.
        weights: Stream of beats to the weight stream. A beat waits while its ring is full.
        enters: A beat passes there; of its kind.
        slice, whole: Of several cores: this core's slices of the beats of vectors and ids; the same
            beats whole, each in the cycle in which its slice is taken. Of one core they are one.
            `slice` is valid for beats of matrices too, and is not taken while `whole` is not ready.
        write: Stream of words to the vector buffer.
        ids, ids_valid: A beat of row numbers passes.
        done: An instruction's last word or beat was taken in the cycle before; for one cycle.
        busy: There is a job.
        wants: The job at hand can take `passed`, the address of the next beat.
        full: The weight stream has no place left, and memory owes nothing.
        idle: No job is at hand and no beat on its way, or a beat passes.
        starved, blocked: Otherwise: it waits for memory, or for who takes what came.
    """

    def __init__(self, sizes: MemorySizes, *, sparse: bool) -> None:
        self.sizes, self.sparse = sizes, sparse
        super().__init__(
            {
                "job": In(stream.Signature(job_layout(sizes))),
                "matrix": In(stream.Signature(MATRIX)),
                "beat": In(stream.Signature(8 * sizes.width)),
                "weights": Out(stream.Signature(beat_layout(sizes.width // 8))),
                "enters": Out(1),
                "slice": Out(stream.Signature(8 * sizes.width)),
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
        coming = self._queue(m, "jobs", job_layout(self.sizes), self.job)
        job, now = Signal.like(coming.payload), Signal(_NOW)
        active, over, given = (Signal(name=name) for name in _CONTROL)
        passes, comes, found = self.beat.valid & self.beat.ready, Signal(), Signal()
        m.d.sync += [comes.eq(self.job.valid & self.job.ready), found.eq(self.ids_valid)]
        m.d.comb += [
            active.eq(now.as_value().any()),
            coming.ready.eq(~active | over),
            self.slice.payload.eq(self.beat.payload),
            self.ids.eq(self.whole.payload),
        ]
        with m.If(coming.ready):
            m.d.sync += [job.eq(coming.payload), given.eq(0)]
            m.d.sync += [
                now[kind.name].eq(coming.valid & (coming.payload.asked.kind == kind))
                for kind in JobKind
            ]
        ends_matrix = self._weights(m)
        unpack = self._unpack(m, job)
        items, order = m.submodules.weights.items, m.submodules.order.beat
        ends_block = now.MATRIX & order.payload.ends_block
        self._follow(m, coming.ready, coming.payload, ends_block, job.stride)
        with m.If(now.NOTHING):
            m.d.comb += over.eq(~self.weights.valid)
        with m.If(now.MATRIX):
            # Not by `passes`: what else may take a beat comes late.
            moves = self.beat.valid & items.ready
            m.d.comb += [
                items.valid.eq(self.beat.valid & order.valid),
                order.ready.eq(moves),
                over.eq(moves & order.payload.last),
            ]
        with m.If(now.ROW):
            m.d.comb += over.eq(self._pass_row(m, unpack, given) & ~self.weights.valid)
        with m.If(now.IDS):
            m.d.comb += [self.ids_valid.eq(passes), over.eq(found)]
        # A row's beats are wanted in its job alone, and so slices are taken in their jobs alone.
        row, ids = unpack.beat.ready, now.IDS & ~found
        m.d.comb += [
            self.wants.eq(now.MATRIX | row | ids),
            self.slice.valid.eq(self.beat.valid),
            self.whole.ready.eq(row | ids),
            self.beat.ready.eq((now.MATRIX & items.ready & order.valid) | self.slice.ready),
        ]
        m.d.sync += self.done.eq(ends_matrix | (over & job.asked.ends & ~now.MATRIX))
        m.d.comb += self.busy.eq(active | coming.valid | comes | self.done)
        self._use(m, now, passes)
        return m

    def _queue(
        self, m: Module, name: str, layout: data.StructLayout, items: stream.Interface
    ) -> stream.Interface:
        """Return a stream of what waits for its beats."""
        m.submodules[name] = queue = RegisteredFifo(shape=layout, depth=JOBS + 1)
        connect(m, flipped(items), queue.items)
        return queue.taken

    def _weights(self, m: Module) -> Value:
        """Bring beats to the weight stream, by their kinds. Return whether a matrix ends there."""
        m.submodules.order = order = WeightBeats(sparse=self.sparse)
        connect(m, self._queue(m, "matrices", MATRIX, self.matrix), order.matrix)
        beat = beat_layout(self.sizes.width // 8)
        m.submodules.weights = buffer = SkidBuffer(
            shape=data.StructLayout({"beat": beat, "last": 1})
        )
        m.d.comb += [
            buffer.items.payload.beat.data.eq(self.beat.payload),
            buffer.items.payload.beat.kind.eq(order.beat.payload.kind),
            buffer.items.payload.last.eq(order.beat.payload.last),
            self.weights.payload.eq(buffer.taken.payload.beat),
            self.weights.valid.eq(buffer.taken.valid),
            buffer.taken.ready.eq(self.weights.ready),
            self.enters.eq(self.weights.valid & self.weights.ready),
        ]
        return self.enters & buffer.taken.payload.last

    def _unpack(self, m: Module, job: data.View) -> Unpack:
        """Make the row at hand into words, and bring these to the vector buffer."""
        sizes = self.sizes
        m.submodules.unpack = unpack = Unpack(
            beat_bytes=sizes.whole_width, words=sizes.words, lanes=sizes.lanes
        )
        shape = {"address": address_bits(sizes.words), "data": 32 * sizes.lanes}
        m.submodules.words = words = SkidBuffer(shape=data.StructLayout(shape))
        row, word, written = unpack.row.payload, words.items.payload, self.write.payload
        m.d.comb += [
            row.count.eq(job.count),
            row.dst.eq(job.asked.dst),
            row.bf16.eq(job.bf16),
            row.ends.eq(job.asked.ends),
            unpack.beat.payload.eq(self.whole.payload),
            unpack.beat.valid.eq(self.whole.valid),
            word.address.eq(unpack.word.payload.address),
            word.data.eq(unpack.word.payload.data),
            words.items.valid.eq(unpack.word.valid),
            unpack.word.ready.eq(words.items.ready),
            written.address.eq(words.taken.payload.address),
            written.data.eq(words.taken.payload.data),
            written.mask.eq(~0),
            self.write.valid.eq(words.taken.valid),
            words.taken.ready.eq(self.write.ready),
        ]
        return unpack

    def _pass_row(self, m: Module, unpack: Unpack, given: Signal) -> Value:
        """Tell `unpack` of the row at hand, which is then `given`.

        Return whether all of its words have been taken.
        """
        m.d.comb += unpack.row.valid.eq(~given)
        with m.If(~given & unpack.row.ready):
            m.d.sync += given.eq(1)
        return given & ~unpack.busy & ~self.write.valid

    def _follow(
        self, m: Module, begins: Value, coming: data.View, ends_block: Value, stride: Value
    ) -> None:
        """Keep the address of the next beat in `passed`, and that of the next row block."""
        next_block = Signal(self.sizes.beat_bits)
        with m.If(begins):
            m.d.sync += [
                self.passed.eq(coming.asked.address),
                next_block.eq(coming.asked.address + coming.stride),
            ]
        with m.Elif(self.beat.valid & self.beat.ready):
            m.d.sync += self.passed.eq(self.passed + 1)
            with m.If(ends_block & (stride != 0)):
                m.d.sync += [self.passed.eq(next_block), next_block.eq(next_block + stride)]

    def _use(self, m: Module, now: data.View, passes: Value) -> None:
        """Say what is waited for: first by the beats on their way to the weight stream."""
        inside, unpack = Signal(), m.submodules.unpack
        with m.If(self.enters):
            m.d.sync += inside.eq(~m.submodules.weights.taken.payload.last)
        m.d.comb += self.idle.eq(
            ~(self.weights.valid | inside | now.MATRIX | ((now.ROW | now.IDS) & ~passes))
        )
        with m.If(self.weights.valid):
            m.d.comb += self.blocked.eq(~self.weights.ready)
        with m.Elif(inside | now.MATRIX):
            m.d.comb += [self.blocked.eq(self.full), self.starved.eq(~self.full)]
        with m.Elif(now.ROW):
            m.d.comb += [
                self.blocked.eq(self.write.valid & ~self.write.ready),
                self.starved.eq(~self.write.valid & unpack.beat.ready & ~self.beat.valid),
            ]
        with m.Elif(now.IDS):
            m.d.comb += self.starved.eq(1)


_NOW = data.StructLayout({kind.name: 1 for kind in JobKind})
"""The kind of the job at hand, a bit each."""
_CONTROL = ("active", "over", "given")
