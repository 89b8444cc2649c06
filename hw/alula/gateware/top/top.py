"""The accelerator: control port, sequencer and cores."""

from amaranth.hdl import (
    Cat,
    ClockDomain,
    ClockSignal,
    Const,
    Module,
    Mux,
    ResetSignal,
    Signal,
    Value,
)
from amaranth.lib.wiring import Component, In, Out, connect, flipped

from alula.design import Design
from alula.gateware.control.command import ENGINES, layout
from alula.gateware.control.dispatch import Blame, Dispatch
from alula.gateware.control.fault import Code
from alula.gateware.control.registers import ADDRESS_BITS, Control
from alula.gateware.hdl.axi import lite
from alula.gateware.hdl.repeat import shared
from alula.gateware.hdl.target import Target
from alula.gateware.top.core import Core
from alula.gateware.top.cores import Fork, Gather, Join, Share
from alula.isa.encoding import INSTRUCTION_BYTES
from alula.isa.instructions import Engine

_STROBES = 16
"""Byte lanes whose strobes are counted in a cycle."""
_TERMS = 4
"""Numbers that are added in a cycle."""


class Top(Component):
    """The whole accelerator, between a host and memory.

    The control port has the clock's reset; a reset through it reaches everything else.

    Args:
        design: What is built.
        target: What the chains' multipliers are made of; see `PackedMultiplier`.

    Members:
        control: AXI4-Lite, slave: `alula.gateware.control.registers.Register`.
        irq: A run is over, by END or by a fault; until cleared.
        read, write: AXI4 masters, those of each memory channel, core by core; see `Core`.
    """

    def __init__(self, *, design: Design, target: Target = "portable") -> None:
        self.design = design
        self.target: Target = target
        self._cores = [Core(design=design, target=target) for _ in range(design.cores)]
        super().__init__(
            {
                "control": In(lite(ADDRESS_BITS)),
                "irq": Out(1),
                "read": self._ports("read"),
                "write": self._ports("write"),
            }
        )

    def _ports(self, name: str) -> Out:
        """Those of all cores, as a member."""
        of_core = self._cores[0].signature.members[name]
        return Out(of_core.signature).array(len(self._cores) * of_core.dimensions[0])

    def elaborate(self, platform: object) -> Module:
        """Make the module."""
        m = Module()
        design, cores = self.design, self._cores
        words = design.program_bytes // INSTRUCTION_BYTES
        control = Control(
            design_hash=int(design.hash, 16),
            program_words=words,
            beat_bytes=design.bytes_per_cycle,
        )
        dispatch = Dispatch(program_words=words)
        reset = Signal(init=1)
        m.domains.machine = ClockDomain(local=True)
        m.d.comb += [
            ClockSignal("machine").eq(ClockSignal()),
            ResetSignal("machine").eq(reset),
        ]
        m.d.sync += reset.eq(control.reset)
        m.submodules.control = shared(control)
        m.submodules.dispatch = shared(dispatch, "machine")
        for number, (name, core) in enumerate(zip(core_names(design), cores, strict=True)):
            m.submodules[name] = shared(core, "machine")
            m.d.comb += [core.number.eq(number), core.cancel.eq(control.cancel)]
        connect(m, flipped(self.control), control.axi)
        self._host(m, control, dispatch)
        for engine in ENGINES:
            self._engine(m, engine, dispatch, control)
        self._exchange(m)
        m.d.comb += [
            # SFUs do the same work on the same values.
            dispatch.argmax.eq(cores[0].argmax),
            dispatch.stream_empty.eq(Cat(core.stream_empty for core in cores).all()),
            control.quiet.eq(Cat(core.quiet for core in cores).all()),
        ]
        for name in ("read", "write"):
            ports = [port for core in cores for port in getattr(core, name)]
            for mine, theirs in zip(getattr(self, name), ports, strict=True):
                connect(m, theirs, flipped(mine))
        self._count(m, control)
        return m

    def _engine(self, m: Module, engine: Engine, dispatch: Dispatch, control: Control) -> None:
        """Let every core have an engine's instructions; one is done when all have done it.

        A core may be ahead of the others. Its fault counts once they are where it stopped: then
        what the queue says of all of them is true of that core.
        """
        cores, name = self._cores, engine.name.lower()
        command = getattr(dispatch, f"command_{name}")
        commands = [getattr(core, f"command_{name}") for core in cores]
        done = Cat(getattr(core, f"done_{name}") for core in cores)
        taken_ahead = done_ahead = Const(0, len(cores))
        if len(cores) == 1:
            connect(m, command, commands[0])
            m.d.comb += getattr(dispatch, f"done_{name}").eq(done)
        else:
            fork, join = Fork(shape=layout(engine), count=len(cores)), Join(count=len(cores))
            m.submodules[f"fork_{name}"] = shared(fork, "machine")
            m.submodules[f"join_{name}"] = shared(join, "machine")
            connect(m, command, fork.items)
            for taker, own in zip(fork.takers, commands, strict=True):
                connect(m, taker, own)
            m.d.comb += [
                join.each.eq(done),
                getattr(dispatch, f"done_{name}").eq(join.done),
            ]
            taken_ahead, done_ahead = fork.ahead, join.ahead
        m.d.comb += [
            dispatch.starved[engine].eq(Cat(core.starved[engine] for core in cores).any()),
            dispatch.blocked[engine].eq(Cat(core.blocked[engine] for core in cores).any()),
        ]
        for number, core in reversed(list(enumerate(cores))):
            oldest = core.blame[engine] == Blame.OLDEST
            early = Mux(oldest, done_ahead[number], taken_ahead[number])
            with m.If((core.fault[engine].code != Code.NONE) & ~early):
                m.d.comb += [
                    control.fault[engine].eq(core.fault[engine]),
                    dispatch.blame[engine].eq(core.blame[engine]),
                ]

    def _exchange(self, m: Module) -> None:
        """What one core has and all need: parts of vectors from memory, and products."""
        cores = self._cores
        if len(cores) == 1:
            return
        bits = 8 * self.design.channels_per_core * self.design.memory.beat_bytes
        gather = Gather(bits=bits, count=len(cores))
        share = Share(shape=cores[0].result.payload.shape(), count=len(cores))
        m.submodules.gather = shared(gather, "machine")
        m.submodules.share = shared(share, "machine")
        for number, core in enumerate(cores):
            connect(m, core.slice, gather.slices[number])
            connect(m, gather.wholes[number], core.whole)
            connect(m, core.result, share.items[number])
            connect(m, share.takers[number], core.results)

    def _host(self, m: Module, control: Control, dispatch: Dispatch) -> None:
        """Connect the control port with the sequencer."""
        m.d.comb += [
            dispatch.program.enable.eq(control.program_enable),
            dispatch.program.address.eq(control.program_address),
            dispatch.program.data.eq(control.program_data.replicate(INSTRUCTION_BYTES // 4)),
            dispatch.program.mask.eq(1 << control.program_quarter),
            dispatch.setting.enable.eq(control.register_enable),
            dispatch.setting.index.eq(control.register_index),
            dispatch.setting.value.eq(control.register_value),
            dispatch.length.eq(control.length),
            dispatch.start.eq(control.start),
            dispatch.halt.eq(control.halt),
            control.running.eq(dispatch.running),
            control.ended.eq(dispatch.ended),
            control.reason.eq(dispatch.reason),
            control.address.eq(dispatch.address),
            control.overflow.eq(dispatch.overflow),
            control.giver.eq(dispatch.giver),
            control.taker.eq(dispatch.taker),
            control.overfilled.eq(dispatch.overfilled),
            self.irq.eq(control.irq),
        ]
        for number, state in enumerate(control.engine):
            m.d.comb += [
                state.oldest.eq(dispatch.oldest[number]),
                state.use.eq(dispatch.use[number]),
                state.missing.eq(dispatch.missing[number]),
                state.flying.eq(dispatch.flying[number]),
            ]
        for number, address in enumerate(control.blamed):
            m.d.comb += address.eq(dispatch.blamed[number])

    def _count(self, m: Module, control: Control) -> None:
        """Count what passes between here and memory, as many cycles late as the sums take.

        ST waits for memory's answers, and a run ends some cycles later still, so the last write
        has been counted when the host reads.
        """
        lane = self.design.memory.port_bytes
        read, written = [], []
        for number, reads in enumerate(self.read):
            passed = Signal(name=f"read_{number}")
            m.d.sync += passed.eq(reads.rvalid & reads.rready)
            read.append(passed)
        for number, writes in enumerate(self.write):
            passes = writes.wvalid & writes.wready
            for first in range(0, lane, _STROBES):
                strobes = Mux(passes, writes.wstrb[first : first + _STROBES], 0)
                part = Signal(range(_STROBES + 1), name=f"strobes_{number}_{first}")
                m.d.sync += part.eq(_sum(list(strobes)))
                written.append(part)
        m.d.comb += [
            control.read.eq(_registered_sum(m, "read", read) * lane),
            control.written.eq(_registered_sum(m, "written", written)),
        ]


def core_names(design: Design) -> list[str]:
    """Return the names of a design's cores within the top."""
    return [f"core_{number}" for number in range(design.cores)] if design.cores > 1 else ["core"]


def _sum(values: list[Value]) -> Value:
    """A sum as a tree."""
    while len(values) > 1:
        values = [sum(values[i : i + 2], Const(0, 0)) for i in range(0, len(values), 2)]
    return values[0]


def _registered_sum(m: Module, name: str, values: list[Signal]) -> Signal:
    """A sum as a tree; each of its levels takes a cycle."""
    level = 0
    while len(values) > 1:
        groups = [values[i : i + _TERMS] for i in range(0, len(values), _TERMS)]
        most = [sum(2 ** len(value) - 1 for value in group) for group in groups]
        sums = [
            Signal(range(bound + 1), name=f"{name}_{level}_{i}") for i, bound in enumerate(most)
        ]
        m.d.sync += [out.eq(_sum(list(group))) for out, group in zip(sums, groups, strict=True)]
        values, level = sums, level + 1
    return values[0]
