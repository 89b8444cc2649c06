"""One core: engines and buffers, put together."""

from amaranth.hdl import Cat, ClockDomain, ClockSignal, Module, Mux, ResetSignal, Signal
from amaranth.lib import stream
from amaranth.lib.wiring import Component, In, Member, Out, connect, flipped

from alula.design import Design
from alula.design.memory import MIB
from alula.gateware.buffers.activation_buffer import ActivationBuffer
from alula.gateware.buffers.staging_buffer import StagingBuffer
from alula.gateware.buffers.vector_buffer import VectorBuffer, write_layout
from alula.gateware.control.command import ENGINES, layout
from alula.gateware.control.dispatch import Blame
from alula.gateware.control.fault import Code, Fault
from alula.gateware.hdl.axi import reader, writer
from alula.gateware.hdl.clock_gate import ClockGate
from alula.gateware.hdl.repeat import shared
from alula.gateware.hdl.target import Target
from alula.gateware.matrix.engine import Mpe
from alula.gateware.matrix.sizes import MatrixSizes
from alula.gateware.memory.load import Load
from alula.gateware.memory.read_master import axi_address_bits
from alula.gateware.memory.read_ports import ReadPorts
from alula.gateware.memory.sizes import MemorySizes
from alula.gateware.memory.store import Store
from alula.gateware.memory.write_port import WritePort
from alula.gateware.sfu.engine import Sfu
from alula.gateware.stream.weight_stream import WeightStream
from alula.isa.instructions import Engine

SFU_TAIL = 63
"""Cycles after which MISC's clock stops: far more than its longest pipeline."""
WAKE = 1
"""Cycles that an instruction waits for MISC's clock where it is stopped."""
_GROUPS = (("load",), ("store", "staging", "vector"), ("mpe", "activations"), ("stream",))
"""Parts with a reset of their own, which ends a cycle after that of those before: the wires of one
register would reach all over the chip. All are over before an instruction can come."""
_DOMAINS = {"sfu": "sfu"} | {
    part: f"engines_{number}" for number, parts in enumerate(_GROUPS) for part in parts
}


class Core(Component):
    """The engines of one core, their buffers and its channels; `Top` has the rest.

    Args:
        design: What is built.
        target: What the chains' multipliers are made of; see `PackedMultiplier`.

    Members:
        command_ld, done_ld, ...: Each engine's instructions, as docs/explanation/gateware.md says.
        starved, blocked: Of each engine; see `Activity`.
        fault, blame: Why an engine stopped, and which of its instructions it means.
        number: Of this core; constant.
        slice, whole, result, results: With several cores: see `Load`; what this core's MPE
            writes; what those of all cores write.
        argmax: The index that ARGMAX found. stream_empty: The weight stream holds nothing.
        cancel: Ask memory for nothing more and drop what it sends; stay so until reset.
        quiet: Memory owes nothing: a reset does no harm.
        read, write: AXI4 masters, one of each a channel; with several ports to a channel, a reader
            for each of them and a writer.
    """

    def __init__(self, *, design: Design, target: Target = "portable") -> None:
        self.design = design
        self.target: Target = target
        sizes = MemorySizes.of(design)
        self._load = Load(sizes, stream_beats=design.stream_beats, sparse=design.mpe.sparse)
        self._store = Store(sizes, staging_bytes=design.staging_bytes)
        self._sfu = Sfu(
            lanes=design.sfu.lanes,
            tokens=design.mpe.tokens,
            words=design.vector_words,
            groups=design.activation_groups,
            staging_bytes=design.staging_bytes,
        )
        members: dict[str, Member] = {}
        for engine in ENGINES:
            name = engine.name.lower()
            members[f"command_{name}"] = In(stream.Signature(layout(engine)))
            members[f"done_{name}"] = Out(1)
        members |= {
            "starved": Out(1).array(len(ENGINES)),
            "blocked": Out(1).array(len(ENGINES)),
            "fault": Out(Fault).array(len(ENGINES)),
            "blame": Out(Blame).array(len(ENGINES)),
            "number": In(range(max(2, design.cores))),
            "argmax": self._sfu.signature.members["argmax"],
            "stream_empty": Out(1),
            "cancel": In(1),
            "quiet": Out(1),
            "read": self._load.signature.members["axi"],
            "write": self._store.signature.members["axi"],
        }
        if (ports := design.memory.ports) > 1:
            shape, channels = (design.memory.chip_bits, design.memory.port_bytes), sizes.channels
            members["read"] = Out(reader(*shape)).array(ports * channels)
            members["write"] = Out(writer(*shape)).array(channels)
        if design.cores > 1:
            result = stream.Signature(write_layout(design.vector_words, design.sfu.lanes))
            shape = self._load.signature.members
            members |= {name: shape[name] for name in ("slice", "whole")}
            members |= {"result": Out(result), "results": In(result)}
        super().__init__(members)

    def elaborate(self, platform: object) -> Module:
        """Make the module."""
        m = Module()
        design = self.design
        size = {"words": design.vector_words, "lanes": design.sfu.lanes}
        groups, tokens = design.activation_groups, design.mpe.tokens
        rows, channels = design.chains_per_core, design.channels_per_core
        load, store, sfu = self._load, self._store, self._sfu
        mpe = Mpe(MatrixSizes.of(design), target=self.target)
        stream = WeightStream(
            rows=rows, channels=channels, depth=design.stream_beats, sparse=design.mpe.sparse
        )
        vector = VectorBuffer(**size)
        activations = ActivationBuffer(groups=groups, tokens=tokens)
        staging = StagingBuffer(staging_bytes=design.staging_bytes)
        parts = {
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
            m.submodules[name] = shared(part, _DOMAINS[name])

        for engine, command, done, starved, blocked in (
            (Engine.LD, load.command, load.done, load.starved, load.blocked),
            (Engine.ST, store.command, store.done, store.starved, store.blocked),
            (Engine.MM, mpe.mm_command, mpe.mm_done, mpe.mm_starved, mpe.mm_blocked),
            (Engine.MV, mpe.mv_command, mpe.mv_done, mpe.mv_starved, mpe.mv_blocked),
            (Engine.MISC, sfu.command, sfu.done, sfu.starved, sfu.blocked),
        ):
            name = engine.name.lower()
            if engine is not Engine.MISC:
                connect(m, flipped(getattr(self, f"command_{name}")), command)
            m.d.comb += [
                getattr(self, f"done_{name}").eq(done),
                self.starved[engine].eq(starved),
                self.blocked[engine].eq(blocked),
            ]

        connect(m, load.tag, stream.tag)
        connect(m, load.beat, stream.beat)
        connect(m, stream.head, mpe.head)
        connect(m, mpe.replay, stream.replay)
        connect(m, stream.block, mpe.block)
        limits = ("may_end", "may_weigh") if design.mpe.sparse else ("may_end",)
        m.d.comb += [
            mpe.held.eq(stream.held),
            *(getattr(stream, name).eq(getattr(mpe, name)) for name in limits),
        ]
        connect(m, mpe.request, activations.request)
        connect(m, activations.data, mpe.activations)
        connect(m, load.write, vector.write_load)
        if design.cores > 1:
            connect(m, mpe.write, flipped(self.result))
            connect(m, flipped(self.results), vector.write_mpe)
            connect(m, load.slice, flipped(self.slice))
            connect(m, flipped(self.whole), load.whole)
        else:
            connect(m, mpe.write, vector.write_mpe)
        connect(m, store.request, vector.request_store)
        connect(m, vector.data_store, store.word)
        connect(m, store.staging_request, staging.request)
        connect(m, staging.data, store.staged)
        for number in range(channels):
            self._reach_memory(m, number)
        self._join_sfu(m, sfu, vector, activations, staging)

        m.d.comb += [
            *(mine.eq(theirs) for mine, theirs in zip(load.free, stream.free, strict=True)),
            self.argmax.eq(sfu.argmax),
            self.stream_empty.eq(stream.empty),
            mpe.first.eq(self.number * rows),
            store.number.eq(self.number),
            load.cancel.eq(self.cancel),
            store.cancel.eq(self.cancel),
            self.quiet.eq(load.quiet & store.quiet),
        ]
        self._report(m, mpe)
        return m

    def _reach_memory(self, m: Module, number: int) -> None:
        """Connect a channel, through the ports that lead to it."""
        memory, load, store = self.design.memory, self._load, self._store
        if memory.ports == 1:
            connect(m, load.axi[number], flipped(self.read[number]))
            connect(m, store.axi[number], flipped(self.write[number]))
            return
        shape = {
            "beat_bytes": memory.beat_bytes,
            "address_bits": axi_address_bits(load.sizes.beat_bits, memory.beat_bytes),
            "chip_bits": memory.chip_bits,
            "windows": [(window.address, window.mib * MIB) for window in memory.windows],
        }
        reads, writes = (
            ReadPorts(ports=memory.ports, **shape),
            WritePort(parts=memory.ports, **shape),
        )
        m.submodules[f"read_ports_{number}"] = shared(reads, _DOMAINS["load"])
        m.submodules[f"write_port_{number}"] = shared(writes, _DOMAINS["store"])
        connect(m, load.axi[number], reads.whole)
        connect(m, store.axi[number], writes.whole)
        first = number * memory.ports
        for ours, port in zip(self.read[first : first + memory.ports], reads.axi, strict=True):
            connect(m, port, flipped(ours))
        connect(m, writes.axi, flipped(self.write[number]))

    def _report(self, m: Module, mpe: Mpe) -> None:
        """Why engines stopped, and which of their instructions they mean."""
        load, store, sfu = self._load, self._store, self._sfu
        m.d.comb += [
            self.fault[Engine.LD].eq(load.error),
            self.fault[Engine.ST].eq(store.error),
            self.fault[Engine.MISC].eq(sfu.error),
            self.blame[Engine.LD].eq(Mux(load.newest, Blame.NEWEST, Blame.OLDEST)),
        ]
        for engine, mine in ((Engine.MM, mpe.fault_mm), (Engine.MV, ~mpe.fault_mm)):
            m.d.comb += [
                self.fault[engine].detail.eq(mpe.fault.detail),
                self.fault[engine].code.eq(Mux(mine, mpe.fault.code, Code.NONE)),
                self.blame[engine].eq(Mux(mpe.fault_next, Blame.NEXT, Blame.OLDEST)),
            ]

    def _clocks(self, m: Module, sfu: Sfu) -> None:
        """Make the domains of all parts; the clock of MISC's stops while it is idle.

        The gate is set a cycle ahead, so an instruction that comes to a stopped clock waits
        for a cycle.
        """
        resets = [Signal(init=1, name=f"reset_{number}") for number in range(len(_GROUPS))]
        reset, sfu_reset = resets[0], Signal(init=1, reset_less=True)
        m.d.sync += Cat(resets).eq(Cat(resets) << 1)
        for number, each in enumerate(resets):
            name = f"engines_{number}"
            m.domains += ClockDomain(name, local=True)
            m.d.comb += [ClockSignal(name).eq(ClockSignal()), ResetSignal(name).eq(each)]
        m.domains.sfu = ClockDomain(local=True)
        m.submodules.sfu_clock = gate = ClockGate(target=self.target)
        idle, wanted, awake = Signal(range(SFU_TAIL)), Signal(), Signal(init=1)
        command = self.command_misc
        m.d.comb += [
            ClockSignal("sfu").eq(gate.clock),
            ResetSignal("sfu").eq(sfu_reset),
            wanted.eq(command.valid | sfu.busy | reset | sfu_reset),
            gate.enable.eq(awake),
            sfu.command.payload.eq(command.payload),
            sfu.command.valid.eq(command.valid & awake),
            command.ready.eq(sfu.command.ready & awake),
        ]
        m.d.sync += awake.eq(wanted | (idle != SFU_TAIL - 1))
        m.d.sfu += sfu_reset.eq(reset)
        with m.If(wanted):
            m.d.sync += idle.eq(0)
        with m.Elif(idle != SFU_TAIL - 1):
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
                {name: place[name] for name in ("row", "half", "groups")}
                | {name: staging.write.payload[name] for name in ("data", "scale")},
            ),
        ):
            m.d.comb += [target.valid.eq(source.valid), source.ready.eq(target.ready)]
            m.d.comb += [field.eq(source.payload[name]) for name, field in fields.items()]
