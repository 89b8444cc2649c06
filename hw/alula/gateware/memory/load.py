"""LD: memory to the weight stream and the vector buffer."""

from amaranth.hdl import Module, Mux, Signal, Value
from amaranth.lib import data, stream
from amaranth.lib.wiring import In, Out, connect, flipped

from alula.gateware.arithmetic.quotient import quotient_up
from alula.gateware.buffers.vector_buffer import write_layout
from alula.gateware.control.command import opcode
from alula.gateware.control.fault import Code
from alula.gateware.hdl import skid_buffer
from alula.gateware.hdl.axi import reader
from alula.gateware.hdl.states import following
from alula.gateware.memory import bursts, unpack
from alula.gateware.memory.engine import DECODING, MemoryEngine
from alula.gateware.memory.load_delivery import LoadDelivery
from alula.gateware.memory.load_gather import LoadGather
from alula.gateware.memory.load_jobs import COUNT_BITS, JobKind, asked_layout, extent_layout
from alula.gateware.memory.load_matrix import LoadMatrix
from alula.gateware.memory.load_vector import LoadVector
from alula.gateware.memory.read_master import ReadMaster
from alula.gateware.memory.sizes import MemorySizes
from alula.gateware.stream.credit_counter import CreditCounter
from alula.gateware.stream.weight_stream import TAG, beat_layout
from alula.isa.instructions import Engine

IDLE = 11
"""Cycles of an instruction that loads nothing."""
INSTRUCTION = IDLE + 1 + bursts.LATENCY + unpack.LATENCY + 2 * skid_buffer.LATENCY
"""Cycles that LD.V takes beside memory's latency and its words."""


class Load(MemoryEngine):
    """The LD engine: one side asks for beats, running ahead; the other hands them on as they come.

    Both go through the instructions in order; what one asks for while the other still waits is
    limited by `JOBS`, by the outstanding bursts of `ReadMaster` and by `CreditCounter`. Weight
    beats follow each other without a gap, across instructions too. Each kind of instruction has an
    `Asker` of its own, and `LoadDelivery` is the other side.

    Args:
        sizes: Of the memory.
        stream_beats: Value beats of the weight stream.
        sparse: Matrices may have a pattern.

    Members: those of `MemoryEngine`, with read ports, and
        tag: To the weight stream, before an LD.W's beats.
        beat: To the weight stream.
        free: Beats that each ring of the weight stream can take now.
        slice, whole: Of several cores: see `LoadDelivery`.
        write: To the vector buffer.
        newest: `error` is of the instruction taken last, not of the oldest.
    """

    def __init__(self, sizes: MemorySizes, *, stream_beats: int, sparse: bool = False) -> None:
        self.stream_beats, self.sparse = stream_beats, bool(sparse)
        self._credits = credits = CreditCounter(depth=stream_beats, sparse=self.sparse)
        exchange = {
            "slice": Out(stream.Signature(8 * sizes.width)),
            "whole": In(stream.Signature(8 * sizes.whole_width)),
        }
        members = {
            "tag": Out(stream.Signature(TAG)),
            "beat": Out(stream.Signature(beat_layout(sizes.width // 8))),
            "free": credits.signature.members["free"],
            **(exchange if sizes.cores > 1 else {}),
            "write": Out(stream.Signature(write_layout(sizes.words, sizes.lanes))),
            "newest": Out(1),
        }
        super().__init__(Engine.LD, reader, members, sizes)

    def elaborate(self, platform: object) -> Module:
        """Make the module."""
        m = Module()
        sizes = self.sizes
        master = ReadMaster(
            channels=sizes.channels, beat_bits=sizes.beat_bits, beat_bytes=sizes.beat_bytes
        )
        latch, stops = self.attach(m, master)
        m.submodules.credits = credits = self._credits
        m.submodules.delivery = delivery = LoadDelivery(sizes, sparse=self.sparse)
        m.d.comb += [
            master.credit.eq(credits.beats),
            master.growing.eq(credits.growing),
            credits.asked.eq(master.asked),
            credits.enters.eq(delivery.enters),
            credits.kind.eq(delivery.weights.payload.kind),
            *(mine.eq(theirs) for mine, theirs in zip(credits.free, self.free, strict=True)),
        ]
        asking = self._ask(m, master, delivery, latch.report[0], stops)
        self._hand_on(m, master, delivery, latch.report[1])
        m.d.comb += [
            self.busy.eq(asking | delivery.busy),
            self.done.eq(delivery.done),
            self.newest.eq(latch.source == 0),
        ]
        return m

    def _ask(
        self,
        m: Module,
        master: ReadMaster,
        delivery: LoadDelivery,
        report: data.View,
        stops: Value,
    ) -> Value:
        """From commands to transfers and jobs. Return whether there is a command."""
        m.submodules.vector = vector = LoadVector(self.sizes)
        m.submodules.matrix = matrix = LoadMatrix(self.sizes, sparse=self.sparse)
        m.submodules.gather = gather = LoadGather(self.sizes)
        connect(m, matrix.tag, flipped(self.tag))
        connect(m, matrix.reserve, self._credits.matrix)
        connect(m, matrix.matrix, delivery.matrix)
        command = Signal(self.command.payload.shape(), name="held", reset_less=True)
        begins, over, asked = Signal(), Signal(), Signal(asked_layout(self.sizes))
        kind, gathers, elements = Signal(JobKind), Signal(), Signal(32)
        m.d.comb += gathers.eq(kind == JobKind.IDS)
        with m.FSM() as machine:
            with m.State("Idle"):
                m.d.comb += self.command.ready.eq(~stops)
                m.d.sync += [
                    command.eq(self.command.payload),
                    kind.eq(JobKind.ROW),
                    elements.eq(self.command.payload.count),
                ]
                for name, value in (("LD.W", JobKind.MATRIX), ("LD.G", JobKind.IDS)):
                    with m.If(self.command.payload.opcode == opcode(name)):
                        m.d.sync += kind.eq(value)
                with m.If(self.command.payload.opcode == opcode("LD.G")):
                    m.d.sync += elements.eq(self.command.payload.len)
                with m.If(self.command.valid & self.command.ready):
                    m.next = DECODING[0]
            following(m, DECODING)
            with m.State(DECODING[-1]):
                m.d.comb += begins.eq(1)
                m.next = "Ask"
            with m.State("Ask"), m.If(over):
                m.next = "Idle"
        with m.Switch(kind):
            for case, asker in (
                (m.Case(JobKind.MATRIX), matrix),
                (m.Case(JobKind.IDS), gather),
                (m.Default(), vector),
            ):
                with case:
                    connect(m, asker.transfer, master.transfer)
                    m.d.comb += [
                        asker.start.eq(begins),
                        asked.eq(asker.job.payload),
                        delivery.job.valid.eq(asker.job.valid),
                        asker.job.ready.eq(delivery.job.ready),
                        over.eq(asker.over),
                        report.eq(asker.fault),
                    ]
        extent, product = (
            self._extent(m, elements, command.type == 1),
            self._product(m, command, gathers, gather),
        )
        job = delivery.job.payload
        m.d.comb += [
            job.asked.eq(asked),
            job.stride.eq(command.stride),
            job.count.eq(extent.elements),
            job.bf16.eq(command.type == 1),
        ]
        m.d.comb += [
            *(asker.command.eq(command) for asker in (vector, matrix, gather)),
            *(asker.extent.eq(extent) for asker in (vector, gather)),
            *(asker.product.eq(product) for asker in (matrix, gather)),
            gather.ids.eq(delivery.ids),
            gather.ids_valid.eq(delivery.ids_valid),
        ]
        return ~machine.ongoing("Idle")

    def _extent(self, m: Module, elements: Signal, bf16: Value) -> data.View:
        """Of the row, or of each row, that a command loads."""
        sizes = self.sizes
        extent = Signal(extent_layout(sizes), reset_less=True)
        short = elements[: sizes.elements.bit_length()]
        size = Mux(bf16, short << 1, short << 2)
        m.d.sync += [
            extent.elements.eq(elements),
            extent.beats.eq(quotient_up(size, sizes.whole_width)),
            extent.words.eq(quotient_up(short, sizes.lanes)),
            extent.fits.eq(elements <= sizes.elements),
        ]
        return extent

    def _product(self, m: Module, command: data.View, gathers: Value, gather: LoadGather) -> Value:
        """Of LD.W's row blocks and groups, or of what LD.G multiplies: one multiplier for both."""
        widths = {
            "first": 32,
            "second": COUNT_BITS,
            "low": 37,
            "high": 35,
            "product": 32 + COUNT_BITS,
        }
        first, second, low, high, product = (
            Signal(width, name=name, reset_less=True) for name, width in widths.items()
        )
        m.d.sync += [
            first.eq(Mux(gathers, gather.factors.first, command.blocks)),
            second.eq(Mux(gathers, gather.factors.second, command.groups)),
            low.eq(first[:17] * second),
            high.eq(first[17:] * second),
            product.eq(low + (high << 17)),
        ]
        return product

    def _hand_on(
        self, m: Module, master: ReadMaster, delivery: LoadDelivery, report: data.View
    ) -> None:
        """From beats to where their jobs send them."""
        connect(m, master.beat, delivery.beat)
        connect(m, delivery.weights, flipped(self.beat))
        connect(m, delivery.write, flipped(self.write))
        if self.sizes.cores > 1:
            connect(m, delivery.slice, flipped(self.slice))
            connect(m, flipped(self.whole), delivery.whole)
        else:
            connect(m, delivery.slice, delivery.whole)
        m.d.comb += [
            delivery.full.eq(self._credits.waits & master.quiet),
        ]
        m.d.sync += [
            self.starved.eq(~delivery.idle & delivery.starved),
            self.blocked.eq(~delivery.idle & delivery.blocked),
        ]
        with m.If(delivery.idle):
            m.d.sync += self.blocked.eq(self.tag.valid & ~self.tag.ready & ~master.beat.valid)
        # What memory refuses is the beat that the job at hand wants next, once it wants one.
        with m.If(master.error & delivery.wants):
            m.d.comb += [
                report.code.eq(Mux(master.response[0], Code.READ_DECERR, Code.READ_SLVERR)),
                report.detail.eq(delivery.passed),
            ]
