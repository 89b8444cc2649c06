"""ST: vector buffer and staging to memory."""

from amaranth.hdl import Module, Mux, Signal, Value
from amaranth.lib import data, stream
from amaranth.lib.wiring import In, Out, connect, flipped

from alula.gateware.buffers import staging_buffer
from alula.gateware.buffers.vector_buffer import address_bits
from alula.gateware.control.command import opcode
from alula.gateware.control.fault import Code
from alula.gateware.hdl.axi import writer
from alula.gateware.hdl.states import following
from alula.gateware.memory import bursts, write_master
from alula.gateware.memory.engine import DECODING, MemoryEngine
from alula.gateware.memory.sizes import MemorySizes
from alula.gateware.memory.store_cache import StoreCache
from alula.gateware.memory.store_keys import KeyRuns
from alula.gateware.memory.store_runs import RunWriter
from alula.gateware.memory.store_values import ValueRuns
from alula.gateware.memory.store_vector import StoreVector
from alula.gateware.memory.store_word import StoreWord
from alula.gateware.memory.write_master import WriteMaster
from alula.isa.instructions import Engine

IDLE = 7
"""Cycles of an instruction that stores nothing."""
INSTRUCTION = IDLE + bursts.LATENCY + write_master.LATENCY
"""Cycles that ST.V takes beside its words and memory's last answer."""
RUN = 2
"""Cycles that ST.W takes beyond those: it is seen whether its bytes exist; they are one beat."""


class Store(MemoryEngine):
    """The ST engine, one instruction at a time; done when memory has acknowledged all of it.

    ST.V streams bursts, a beat a cycle. ST.KEY and ST.VALUE write run by run: 16 bytes of K, or the
    values of V that share a channel's beat, go to one channel with their strobes alone. Each kind
    of instruction has a `Storer` of its own.

    Args:
        sizes: Of the memory.
        staging_bytes: Size of the staging buffer.

    Members: those of `MemoryEngine`, with write ports, and
        number: Of this core; constant.
        request, word: A reader's ports of the vector buffer.
        staging_request, staged: The read ports of the staging buffer.
    """

    def __init__(self, sizes: MemorySizes, *, staging_bytes: int) -> None:
        self.staging_bytes = staging_bytes
        place = staging_buffer.place_layout(staging_bytes)
        members = {
            "number": In(range(max(2, sizes.cores))),
            "request": Out(stream.Signature(address_bits(sizes.words))),
            "word": In(stream.Signature(data.ArrayLayout(32, sizes.lanes))),
            "staging_request": Out(stream.Signature(place)),
            "staged": In(stream.Signature(staging_buffer.read_layout())),
        }
        super().__init__(Engine.ST, writer, members, sizes)

    def elaborate(self, platform: object) -> Module:
        """Make the module."""
        m = Module()
        sizes = self.sizes
        master = WriteMaster(
            channels=sizes.channels, beat_bits=sizes.beat_bits, beat_bytes=sizes.beat_bytes
        )
        latch, stops = self.attach(m, master)
        m.submodules.runs = runs = RunWriter(sizes)
        m.submodules.vector = vector = StoreVector(sizes)
        m.submodules.store_word = word = StoreWord(sizes)
        m.submodules.cache = cache = StoreCache(
            sizes, KeyRuns(sizes), ValueRuns(sizes), staging_bytes=self.staging_bytes
        )
        connect(m, vector.request, flipped(self.request))
        connect(m, flipped(self.word), vector.word)
        connect(m, cache.request, flipped(self.staging_request))
        connect(m, flipped(self.staged), cache.staged)
        command = Signal(self.command.payload.shape(), name="held", reset_less=True)
        begins, over, sends = Signal(), Signal(), Signal()
        m.d.comb += sends.eq(runs.busy | vector.asks)
        with m.FSM() as machine:
            with m.State("Idle"):
                m.d.comb += self.command.ready.eq(~stops)
                m.d.sync += command.eq(self.command.payload)
                with m.If(self.command.valid & self.command.ready):
                    m.next = DECODING[0]
            following(m, DECODING)
            with m.State(DECODING[-1]):
                m.d.comb += begins.eq(1)
                m.next = "Store"
                with m.If(over):
                    m.next = "Finish"
            with m.State("Store"), m.If(over):
                m.next = "Finish"
            with m.State("Finish"):
                m.d.comb += self.done.eq(~sends & ~vector.packs & master.quiet & ~master.error)
                with m.If(self.done):
                    m.next = "Idle"
        m.d.comb += [
            self.busy.eq(~machine.ongoing("Idle")),
            *(part.number.eq(self.number) for part in (runs, vector)),
            *(storer.command.eq(command) for storer in (vector, word, cache)),
        ]
        of_cache, of_word, of_vector, in_runs = (Signal(name=name) for name in _KINDS)
        rows = command.opcode.matches(opcode("ST.KEY"), opcode("ST.VALUE"))
        one = command.opcode == opcode("ST.W")
        m.d.sync += [
            of_cache.eq(rows),
            of_word.eq(one),
            of_vector.eq(~(rows | one)),
            # What all bits of a beat depend on decides nothing else.
            in_runs.eq(rows | one),
        ]
        m.d.comb += [
            getattr(master, name).payload.eq(
                Mux(in_runs, getattr(runs, name).payload, getattr(vector, name).payload)
            )
            for name in ("transfer", "beat")
        ]
        for chosen, storer, writes in (
            (of_cache, cache, runs),
            (of_word, word, runs),
            (of_vector, vector, vector),
        ):
            with m.If(chosen):
                for name in ("transfer", "beat"):
                    source, target = getattr(writes, name), getattr(master, name)
                    m.d.comb += [target.valid.eq(source.valid), source.ready.eq(target.ready)]
                if storer is not vector:
                    connect(m, storer.run, runs.run)
                m.d.comb += [
                    storer.start.eq(begins),
                    over.eq(storer.over),
                    latch.report[0].eq(storer.fault),
                ]
        with m.If(runs.fault.code != Code.NONE):
            m.d.comb += latch.report[0].eq(runs.fault)
        with m.If(master.error):
            code = Mux(master.response[0], Code.WRITE_DECERR, Code.WRITE_SLVERR)
            m.d.comb += [latch.report[1].code.eq(code), latch.report[1].detail.eq(master.refused)]
        self._use(m, machine.ongoing("Finish") & ~sends, sends)
        return m

    def _use(self, m: Module, finishing: Value, sends: Value) -> None:
        """Say what the instruction waits for; `finishing`: only for what has been handed on."""
        beat, vector, cache = m.submodules.master.beat, m.submodules.vector, m.submodules.cache
        waits = finishing & vector.packs & ~vector.beat.valid
        m.d.sync += [self.starved.eq(0), self.blocked.eq(0)]
        with m.If(~(beat.valid & beat.ready) & ~self.done):
            with m.If(cache.waits | waits):
                m.d.sync += self.starved.eq(~Mux(cache.waits, self.staged.valid, self.word.valid))
            with m.Else():
                m.d.sync += self.blocked.eq(sends | finishing)


_KINDS = ("of_cache", "of_word", "of_vector", "in_runs")
