"""A clock that stops while nobody needs it."""

from amaranth.hdl import ClockDomain, ClockSignal, Instance, Module, Signal
from amaranth.lib.wiring import Component, In, Out

from alula.gateware.hdl.target import TARGETS, Target


class ClockGate(Component):
    """Passes the edges of ``sync`` that are wanted: a register and an AND, or the part's own gate.

    Args:
        target (str): See `PackedMultiplier`: BUFGCE of UltraScale+, DCCA of ECP5.

    Members:
        enable (In(1)): The next edge is wanted; may change until the clock has fallen.
        clock (Out(1)): ``sync``'s clock, low where an edge is left out.
    """

    enable: In(1)
    clock: Out(1)

    def __init__(self, *, target: Target = "portable") -> None:
        if target not in TARGETS:
            raise ValueError(f"target must be one of {', '.join(TARGETS)}, not {target!r}")
        self.target: Target = target
        super().__init__()

    def elaborate(self, platform: object) -> Module:
        """Make the module."""
        m = Module()
        clock = ClockSignal()
        if self.target == "dsp48e2":
            m.submodules.gate = Instance("BUFGCE", i_I=clock, i_CE=self.enable, o_O=self.clock)
        elif self.target == "mult18x18d":
            m.submodules.gate = Instance("DCCA", i_CLKI=clock, i_CE=self.enable, o_CLKO=self.clock)
        else:
            held = Signal()
            m.domains.low = ClockDomain(clk_edge="neg", reset_less=True, local=True)
            m.d.comb += ClockSignal("low").eq(clock)
            m.d.low += held.eq(self.enable)
            m.d.comb += self.clock.eq(clock & held)
        return m
