"""A component behind two pins, for place and route without a board."""

from amaranth.hdl import Cat, Module, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import Component, In, Out

from alula.gateware.hdl.later_reset import later_reset
from alula.gateware.hdl.repeat import ports, shared


class Scan(Component):
    """Every input of a component comes from a shift register, every output goes to another.

    A core has hundreds of wires that are pins of no package, because they meet a memory controller
    and a host on the chip. Behind shift registers nothing is optimised away, and every path into
    and out of the component begins or ends at a register, as it does beside a registered bus. So
    does its reset. No wire goes to all of them, which place and route would have to care for. The
    cost is a flip-flop for each input, and a flip-flop and a LUT for each output.

    Args:
        component: What is tested; as `alula.gateware.hdl.repeat.Shared` demands.

    Members:
        scan_in: Shifted into the inputs' register in each cycle.
        scan_out: The end of the outputs' register. To each of its bits an output is added, modulo
            2, as it shifts.
    """

    scan_in: In(1)
    scan_out: Out(1)

    def __init__(self, *, component: wiring.Component) -> None:
        self.component = component
        super().__init__()

    def elaborate(self, platform: object) -> Module:
        """Make the module."""
        m = Module()
        later_reset(m, "inside")
        m.submodules.inside = shared(self.component, "inside")
        found = ports(self.component).values()
        inputs, outputs = (
            Cat(value for value, way in found if way == direction)
            for direction in ("input", "output")
        )
        given, taken = (Signal(len(side), reset_less=True) for side in (inputs, outputs))
        m.d.comb += inputs.eq(given)
        m.d.sync += [
            given.eq(Cat(self.scan_in, given)),
            taken.eq(Cat(taken[1:], 0) ^ outputs),
        ]
        m.d.comb += self.scan_out.eq(taken[0])
        return m
