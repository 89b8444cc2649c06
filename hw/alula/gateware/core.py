"""One core: sequencer, engines and buffers, put together."""

from __future__ import annotations

from amaranth.hdl import ClockDomain, ClockSignal, Module, ResetSignal, Signal
from amaranth.lib.wiring import Component, In, Out, connect, flipped

from alula.design import Design
from alula.gateware.activation_buffer import ActivationBuffer
from alula.gateware.clock_gate import ClockGate
from alula.gateware.command import ENGINES
from alula.gateware.dispatch import Dispatch
from alula.gateware.fault import Code, Fault
from alula.gateware.load import Load
from alula.gateware.mpe import Mpe
from alula.gateware.mpe import Reason as MpeReason
from alula.gateware.repeat import placed
from alula.gateware.sequencer import Reason
from alula.gateware.sfu import Sfu
from alula.gateware.staging_buffer import StagingBuffer
from alula.gateware.store import Store
from alula.gateware.vector_buffer import VectorBuffer
from alula.gateware.weight_stream import WeightStream
from alula.isa.encoding import WORD_BYTES
from alula.isa.formats import GROUP
from alula.isa.instructions import Engine

__all__ = ["Core", "activation_groups"]

SFU_TAIL = 63
"""Cycles after which MISC's clock stops: far more than its longest pipeline."""
_CONTROL = ("program", "length", "start", "clear")
_STATE = ("running", "ended", "reason", "address", "waiting", "overflow", "giver", "taker")


def activation_groups(design: Design) -> int:
    """Groups of the activation buffer."""
    return design.activation_words * design.activation_word_bytes // (GROUP * design.mpe.tokens)


class Core(Component):
    """A design of one core, but for the host's port.

    After a fault the sequencer and the queues go no further; `cancel`, then a reset once `quiet`,
    makes it as new, but for what memories hold.

    Parameters:
        design: One of a single core.

    Members:
        program, length, start, clear: As of `Dispatch`. parameter: Its `register`.
        running, ended, reason, address, waiting, overflow, giver, taker: As of `Dispatch`.
        busy, starved: For each engine, as of `Dispatch`.
        oldest: For each engine with a queue, the address of its oldest instruction.
        ld_fault, st_fault, sfu_fault, mpe_fault: Why an engine stopped; NONE as long as it did not.
        faulty: One of these, `reason` or `overflow` is there.
        memory_starved: LD waits for memory. memory_blocked: memory waits for LD.
        cancel: Ask memory for nothing more and drop what it sends; stay so until reset.
        quiet: Memory owes nothing: a reset does no harm.
        read, write: AXI4 masters, one of each a channel.
    """

    def __init__(self, *, design: Design) -> None:
        if design.cores != 1:
            raise ValueError(f"design must be of 1 core, not of {design.cores}")
        self.design = design
        channels, beat_bytes = design.channels_per_core, design.memory.beat_bytes
        memory = {
            "channels": channels,
            "beat_bytes": beat_bytes,
            "memory_beats": design.channel_bytes // beat_bytes,
            "words": design.vector_words,
            "lanes": design.sfu.lanes,
        }
        self._dispatch = Dispatch(program_words=design.program_bytes // WORD_BYTES)
        self._load = Load(**memory, stream_beats=design.stream_beats)
        self._store = Store(**memory, staging_bytes=design.staging_bytes)
        shape = self._dispatch.signature.members
        members: dict[str, In | Out] = {name: shape[name] for name in (*_CONTROL, *_STATE)}
        members |= {
            "parameter": shape["register"],
            "busy": shape["busy"],
            "starved": shape["starved"],
            "oldest": Out(shape["oldest_ld"].shape).array(len(ENGINES)),
            "ld_fault": Out(Fault),
            "st_fault": Out(Fault),
            "sfu_fault": Out(Fault),
            "mpe_fault": Out(MpeReason),
            "faulty": Out(1),
            "memory_starved": Out(1),
            "memory_blocked": Out(1),
            "cancel": In(1),
            "quiet": Out(1),
            "read": self._load.signature.members["axi"],
            "write": self._store.signature.members["axi"],
        }
        super().__init__(members)

    def elaborate(self, platform: object) -> Module:
        """Make the module."""
        m = Module()
        design = self.design
        size = {"words": design.vector_words, "lanes": design.sfu.lanes}
        groups, tokens = activation_groups(design), design.mpe.tokens
        rows, channels = design.chains_per_core, design.channels_per_core
        dispatch, load, store = self._dispatch, self._load, self._store
        mpe = Mpe(
            rows=rows,
            block_rows=design.rows,
            tokens=tokens,
            groups=groups,
            channels=channels,
            accumulator_bits=design.mpe.accumulator_bits,
            **size,
        )
        sfu = Sfu(lanes=design.sfu.lanes, tokens=tokens)
        stream = WeightStream(rows=rows, channels=channels, depth=design.stream_beats)
        vector = VectorBuffer(**size)
        activations = ActivationBuffer(groups=groups, tokens=tokens)
        staging = StagingBuffer(staging_bytes=design.staging_bytes)
        parts = {
            "dispatch": dispatch,
            "load": load,
            "store": store,
            "mpe": mpe,
            "sfu": sfu,
            "stream": stream,
            "vector": vector,
            "activations": activations,
            "staging": staging,
        }
        self._clocks(m, sfu)
        for name, part in parts.items():
            m.submodules[name] = placed(part, "sfu" if part is sfu else "engines")

        for name in _CONTROL:
            m.d.comb += getattr(dispatch, name).eq(getattr(self, name))
        m.d.comb += dispatch.register.eq(self.parameter)
        for name in (*_STATE, "busy", "starved"):
            m.d.comb += getattr(self, name).eq(getattr(dispatch, name))
        for index, engine in enumerate(ENGINES):
            m.d.comb += self.oldest[index].eq(getattr(dispatch, f"oldest_{engine.name.lower()}"))

        for engine, command, done in (
            (Engine.LD, load.command, load.done),
            (Engine.ST, store.command, store.done),
            (Engine.MM, mpe.mm_command, mpe.mm_done),
            (Engine.MV, mpe.mv_command, mpe.mv_done),
            (Engine.MISC, sfu.command, sfu.done),
        ):
            name = engine.name.lower()
            connect(m, getattr(dispatch, f"command_{name}"), command)
            m.d.comb += getattr(dispatch, f"done_{name}").eq(done)

        connect(m, load.tag, stream.tag)
        connect(m, load.beat, stream.beat)
        connect(m, stream.head, mpe.head)
        connect(m, mpe.walk, stream.walk)
        connect(m, stream.block, mpe.block)
        connect(m, mpe.request, activations.request)
        connect(m, activations.data, mpe.activations)
        connect(m, load.write, vector.write_load)
        connect(m, mpe.write, vector.write_mpe)
        connect(m, store.request, vector.request_store)
        connect(m, vector.data_store, store.word)
        connect(m, store.staging_request, staging.request)
        connect(m, staging.data, store.part)
        for number in range(channels):
            connect(m, load.axi[number], flipped(self.read[number]))
            connect(m, store.axi[number], flipped(self.write[number]))
        self._join_sfu(m, sfu, vector, activations, staging)

        m.d.comb += [
            dispatch.argmax.eq(sfu.argmax),
            dispatch.stream_empty.eq(stream.empty),
            dispatch.halt.eq(self.faulty),
            *(mine.eq(theirs) for mine, theirs in zip(load.free, stream.free, strict=True)),
            load.cancel.eq(self.cancel),
            store.cancel.eq(self.cancel),
            self.quiet.eq(load.quiet & store.quiet),
            self.memory_starved.eq(load.starved),
            self.memory_blocked.eq(load.blocked),
            self.ld_fault.eq(load.error),
            self.st_fault.eq(store.error),
            self.sfu_fault.eq(sfu.error),
            self.mpe_fault.eq(mpe.error),
            self.faulty.eq(
                (load.error.code != Code.NONE)
                | (store.error.code != Code.NONE)
                | (sfu.error.code != Code.NONE)
                | (mpe.error != MpeReason.NONE)
                | (dispatch.reason != Reason.NONE)
                | dispatch.overflow
            ),
        ]
        return m

    def _clocks(self, m: Module, sfu: Sfu) -> None:
        """Make the domain of all engines, and that of MISC, whose clock stands while it is idle."""
        reset, sfu_reset = Signal(init=1), Signal(init=1, reset_less=True)
        m.domains.engines = ClockDomain(local=True)
        m.domains.sfu = ClockDomain(local=True)
        m.submodules.sfu_clock = gate = ClockGate()
        idle, wanted = Signal(range(SFU_TAIL + 1)), Signal()
        m.d.comb += [
            ClockSignal("engines").eq(ClockSignal()),
            ResetSignal("engines").eq(reset),
            ClockSignal("sfu").eq(gate.clock),
            ResetSignal("sfu").eq(sfu_reset),
            wanted.eq(sfu.command.valid | sfu.busy | reset | sfu_reset),
            gate.enable.eq(wanted | (idle != SFU_TAIL)),
        ]
        m.d.sync += reset.eq(0)
        m.d.sfu += sfu_reset.eq(reset)
        with m.If(wanted):
            m.d.sync += idle.eq(0)
        with m.Elif(idle != SFU_TAIL):
            m.d.sync += idle.eq(idle + 1)

    def _join_sfu(
        self,
        m: Module,
        sfu: Sfu,
        vector: VectorBuffer,
        activations: ActivationBuffer,
        staging: StagingBuffer,
    ) -> None:
        """Connect MISC, whose addresses are as wide as the largest design needs."""
        for port, request, data in (
            (sfu.a, vector.request_a, vector.data_a),
            (sfu.b, vector.request_b, vector.data_b),
        ):
            m.d.comb += [
                request.valid.eq(port.request.valid),
                request.payload.eq(port.request.payload),
                port.request.ready.eq(request.ready),
            ]
            connect(m, data, port.data)
        place = staging.write.payload.place
        for source, target, fields in (
            (
                sfu.write,
                vector.write_misc,
                {name: vector.write_misc.payload[name] for name in ("address", "data", "mask")},
            ),
            (
                sfu.activation,
                activations.write,
                {
                    name: activations.write.payload[name]
                    for name in ("group", "slot", "half", "data", "side")
                },
            ),
            (
                sfu.staging,
                staging.write,
                {name: place[name] for name in ("row", "part", "groups")}
                | {name: staging.write.payload[name] for name in ("data", "scale")},
            ),
        ):
            m.d.comb += [target.valid.eq(source.valid), source.ready.eq(target.ready)]
            m.d.comb += [field.eq(source.payload[name]) for name, field in fields.items()]
