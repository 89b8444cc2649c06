"""The steps of QUANT's groups: kept for a row, and turned into integer scales."""

import struct

from amaranth.hdl import Cat, Module, Mux, Signal, signed
from amaranth.lib import wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out

from alula.gateware.arithmetic.float_format import BIAS, significand
from alula.gateware.hdl.delay import delayed
from alula.isa.formats import SCALE_MAX

LATENCY = 5
"""Cycles from `look` to `scale` and `inverse`."""


def _bits(value: float) -> int:
    return int.from_bytes(struct.pack("<f", value), "little")


class SfuSteps(wiring.Component):
    """`v_g` of each group of a row, the row's `E`, and `u_g` with `fl(1/u_g)`.

    Args:
        groups: groups of a row, at most.

    Members:
        clear (In): a row begins.
        valid, step (In): `v_g` of the next group.
        exponent (Out): `E`; means something from three cycles after the row's last step.
        look (In): the group whose number is `group` is wanted.
        group (In): number of a group.
        scale (Out): `u_g`, `LATENCY` cycles after `look`.
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
        """Steps and their largest; the memory and its output register; a shift; reciprocals."""
        m = Module()
        m.submodules.steps = steps = Memory(shape=32, depth=self.groups, init=[])
        write, read = steps.write_port(), steps.read_port()
        largest, newest, comes = Signal(31), Signal(31), Signal()
        m.d.sync += [newest.eq(self.step), comes.eq(self.valid)]
        m.d.comb += [
            write.en.eq(self.valid),
            write.data.eq(self.step),
            read.en.eq(self.look),
            read.addr.eq(self.group),
        ]
        m.d.sync += self.exponent.eq(Mux(largest == 0, 0, largest[23:] - (BIAS + 7)))
        with m.If(comes & (newest > largest)):
            m.d.sync += largest.eq(newest)
        with m.If(self.clear):
            m.d.sync += [write.addr.eq(0), largest.eq(0)]
        with m.Elif(self.valid):
            m.d.sync += write.addr.eq(write.addr + 1)

        looked = delayed(m, self.look, LATENCY - 1, name="looked")
        step = Signal(31)
        with m.If(looked[1]):
            m.d.sync += step.eq(read.data)
        distance, right, number, low = Signal(8), Signal(4), Signal(24), Signal()
        m.d.comb += distance.eq(largest[23:] - step[23:])
        with m.If(looked[2]):
            m.d.sync += [
                right.eq(Mux(distance > 8, 8, distance)),
                number.eq(significand(step)),
                low.eq(step[:16].any()),
            ]
        whole, lost = Signal(8), Signal()
        m.d.comb += [
            whole.eq(number[16:] >> right),
            lost.eq(low | Cat(number[16 + at] & (at < right) for at in range(8)).any()),
        ]
        self._scale(m, looked[3:], whole, lost)
        return m

    def _scale(self, m: Module, looked: Signal, whole: Signal, lost: Signal) -> None:
        """The scale within its limits; its reciprocal, from a memory with an output register."""
        scales = [min(max(low + up, 1), SCALE_MAX) for up in (0, 1) for low in range(256)]
        m.submodules.reciprocals = reciprocals = Memory(
            shape=32, depth=len(scales), init=[_bits(1 / scale) for scale in scales]
        )
        rom, sums, inverse = reciprocals.read_port(), Signal(9), Signal(32, reset_less=True)
        m.d.comb += [
            rom.en.eq(looked[0]),
            rom.addr.eq(Cat(whole, lost)),
            self.inverse.eq(inverse),
        ]
        with m.If(looked[0]):
            m.d.sync += sums.eq(whole + lost)
        with m.If(looked[1]):
            m.d.sync += [
                inverse.eq(rom.data),
                self.scale.eq(Mux(sums == 0, 1, Mux(sums[8], SCALE_MAX, sums))),
            ]
