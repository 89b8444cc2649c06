"""The steps of QUANT's groups: kept for a row, and turned into integer scales."""

import struct

from amaranth.hdl import Module, Mux, Signal, signed
from amaranth.lib import wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out

from alula.gateware.arithmetic.float_format import BIAS, significand
from alula.isa.formats import SCALE_MAX

__all__ = ["LATENCY", "SCALE_LATENCY", "SfuSteps"]

SCALE_LATENCY = 2
"""Cycles from `look` to `scale`."""
LATENCY = 4
"""Cycles from `look` to `inverse`: the adder's, so that both come together."""


def _bits(value: float) -> int:
    return int.from_bytes(struct.pack("<f", value), "little")


class SfuSteps(wiring.Component):
    """`v_g` of each group of a row, the row's `E`, and `u_g` with `fl(1/u_g)`.

    Args:
        groups: groups of a row, at most.

    Members:
        clear (In): a row begins.
        valid, step (In): `v_g` of the next group.
        exponent (Out): `E`; means something once the row's steps are there.
        look (In): the group whose number is `group` is wanted.
        group (In): number of a group.
        scale (Out): `u_g`, `SCALE_LATENCY` cycles after `look`.
        inverse (Out): `fl(1 / u_g)`, `LATENCY` cycles after `look`.
    """

    def __init__(self, *, groups: int) -> None:
        if groups < 2:
            raise ValueError(f"groups must be at least 2, not {groups!r}")
        self.groups = groups
        super().__init__(
            {
                "clear": In(1),
                "valid": In(1),
                "step": In(32),
                "exponent": Out(signed(10)),
                "look": In(1),
                "group": In(range(groups)),
                "scale": Out(8),
                "inverse": Out(32),
            }
        )

    def elaborate(self, platform: object) -> Module:
        """A memory of steps, a ROM of reciprocals."""
        m = Module()
        m.submodules.steps = steps = Memory(shape=32, depth=self.groups, init=[])
        write, read = steps.write_port(), steps.read_port()
        largest = Signal(31)
        m.d.comb += [
            write.en.eq(self.valid),
            write.data.eq(self.step),
            read.en.eq(self.look),
            read.addr.eq(self.group),
            self.exponent.eq(Mux(largest == 0, 0, largest[23:] - (BIAS + 7))),
        ]
        with m.If(self.clear):
            m.d.sync += [write.addr.eq(0), largest.eq(0)]
        with m.Elif(self.valid):
            m.d.sync += write.addr.eq(write.addr + 1)
            with m.If(self.step[:31] > largest):
                m.d.sync += largest.eq(self.step)

        distance, right = Signal(8), Signal(4)
        number, whole, lost, up = Signal(24), Signal(8), Signal(24), Signal(9)
        m.d.comb += [
            distance.eq(largest[23:] - read.data[23:31]),
            right.eq(Mux(distance > 8, 8, distance)),
            number.eq(significand(read.data)),
            whole.eq(number[16:] >> right),
            lost.eq(number & ((0x1_0000 << right) - 1)),
            up.eq(whole + lost.any()),
        ]
        m.submodules.reciprocals = reciprocals = Memory(
            shape=32,
            depth=SCALE_MAX + 1,
            init=[_bits(1 / max(scale, 1)) for scale in range(SCALE_MAX + 1)],
        )
        rom = reciprocals.read_port()
        looked = Signal(3)
        m.d.sync += looked.eq((looked << 1) | self.look)
        m.d.comb += [rom.en.eq(looked[1]), rom.addr.eq(self.scale)]
        with m.If(looked[0]):
            m.d.sync += self.scale.eq(Mux(up == 0, 1, Mux(up[8], SCALE_MAX, up)))
        with m.If(looked[2]):
            m.d.sync += self.inverse.eq(rom.data)
        return m
