"""The accelerator: control port, sequencer and core."""

from __future__ import annotations

from amaranth.hdl import Cat, ClockDomain, ClockSignal, Module, Mux, ResetSignal, Signal
from amaranth.lib.wiring import Component, In, Out, connect, flipped

from alula.design import Design
from alula.gateware.axi import lite
from alula.gateware.command import ENGINES
from alula.gateware.control import ADDRESS_BITS, Control
from alula.gateware.core import Core
from alula.gateware.dispatch import Dispatch
from alula.gateware.multiplier import Target
from alula.gateware.repeat import placed
from alula.isa.encoding import WORD_BYTES

__all__ = ["Top"]


class Top(Component):
    """All of it, as it stands between a host and memory.

    The control port has the clock's reset; a reset through it reaches everything else.

    Parameters:
        design: What is built.
        target: What the chains' multipliers are made of, as of `PackedMultiplier`.

    Members:
        control: AXI4-Lite, slave: `alula.gateware.control.Register`.
        irq: A run is over, by END or by a fault; until cleared.
        read, write: AXI4 masters, one of each a memory channel.
    """

    def __init__(self, *, design: Design, target: Target = "portable") -> None:
        self.design = design
        self.target: Target = target
        self._core = Core(design=design, target=target)
        shape = self._core.signature.members
        super().__init__(
            {
                "control": In(lite(ADDRESS_BITS)),
                "irq": Out(1),
                "read": shape["read"],
                "write": shape["write"],
            }
        )

    def elaborate(self, platform: object) -> Module:
        """Make the module."""
        m = Module()
        design, core = self.design, self._core
        words = design.program_bytes // WORD_BYTES
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
        m.submodules.control = placed(control)
        m.submodules.dispatch = placed(dispatch, "machine")
        m.submodules.core = placed(core, "machine")
        connect(m, flipped(self.control), control.axi)
        self._host(m, control, dispatch)
        for engine in ENGINES:
            name = engine.name.lower()
            connect(m, getattr(dispatch, f"command_{name}"), getattr(core, f"command_{name}"))
            m.d.comb += [
                getattr(dispatch, f"done_{name}").eq(getattr(core, f"done_{name}")),
                dispatch.starved[engine].eq(core.starved[engine]),
                dispatch.blocked[engine].eq(core.blocked[engine]),
                dispatch.blame[engine].eq(core.blame[engine]),
                control.fault[engine].eq(core.fault[engine]),
            ]
        m.d.comb += [
            dispatch.argmax.eq(core.argmax),
            dispatch.stream_empty.eq(core.stream_empty),
            core.cancel.eq(control.cancel),
            control.quiet.eq(core.quiet),
        ]
        for name in ("read", "write"):
            for mine, theirs in zip(getattr(self, name), getattr(core, name), strict=True):
                connect(m, theirs, flipped(mine))
        self._count(m, control)
        return m

    def _host(self, m: Module, control: Control, dispatch: Dispatch) -> None:
        """Connect the control port with the sequencer."""
        m.d.comb += [
            dispatch.program.enable.eq(control.program_enable),
            dispatch.program.address.eq(control.program_address),
            dispatch.program.data.eq(control.program_data.replicate(WORD_BYTES // 4)),
            dispatch.program.mask.eq(1 << control.program_part),
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
        """Count what passes between here and memory, a cycle late."""
        lane = self.design.memory.beat_bytes
        beats = Cat(port.rvalid & port.rready for port in self.read)
        strobes = Cat(Mux(port.wvalid & port.wready, port.wstrb, 0) for port in self.write)
        m.d.sync += [
            control.read.eq(sum(beats, 0) * lane),
            control.written.eq(sum(strobes, 0)),
        ]
