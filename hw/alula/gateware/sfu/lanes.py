"""All lanes, and the tables that two and two of them share."""

from amaranth.hdl import Module, Signal
from amaranth.lib import wiring
from amaranth.lib.data import ArrayLayout
from amaranth.lib.wiring import In, Out

from alula.gateware.arithmetic.float_activation import TABLES
from alula.gateware.arithmetic.float_table import TableRom
from alula.gateware.buffers.ports import word
from alula.gateware.hdl.repeat import shared
from alula.gateware.sfu.lane import SfuLane, route


class SfuLanes(wiring.Component):
    """A word an operation: `lanes` times `SfuLane`, whose members these are.

    Args:
        lanes: fp32 values of a word.

    Members:
        route, valid, a, b, c, d, s, t (In), late (Out): see `SfuLane`, for all lanes.
        coming (Out): a result is there in the next cycle, of the lanes in `mask`.
        mask (In): lanes whose result counts; that of the others is zero.
        result_valid, result (Out): the results, registers.
    """

    def __init__(self, *, lanes: int) -> None:
        self.lanes = lanes
        super().__init__(
            {
                "route": In(route),
                "valid": In(1),
                **{name: In(word(lanes)) for name in "abcd"},
                "s": In(32),
                "t": In(32),
                "late": Out(1),
                "coming": Out(1),
                "mask": In(lanes),
                "result_valid": Out(1),
                "result": Out(ArrayLayout(32, lanes)),
            }
        )

    def elaborate(self, platform: object) -> Module:
        """Lanes in pairs."""
        m = Module()
        units = [SfuLane() for _ in range(self.lanes)]
        for pair in range(self.lanes // 2):
            m.submodules[f"rom{pair}"] = shared(rom := TableRom(tables=TABLES, ports=2))
            for port in range(2):
                index = 2 * pair + port
                m.submodules[f"lane{index}"] = shared(unit := units[index])
                m.d.comb += [
                    unit.route.eq(self.route),
                    unit.valid.eq(self.valid),
                    *(getattr(unit, name).eq(getattr(self, name)[index]) for name in "abcd"),
                    unit.s.eq(self.s),
                    unit.t.eq(self.t),
                    rom.enable[port].eq(unit.rom_enable),
                    rom.address[port].eq(unit.rom_address),
                    unit.rom_row.eq(rom.row[port]),
                ]
        m.d.comb += [self.late.eq(units[0].late), self.coming.eq(units[0].result_valid)]
        results = Signal(ArrayLayout(32, self.lanes), reset_less=True)
        m.d.comb += self.result.eq(results)
        m.d.sync += self.result_valid.eq(self.coming)
        with m.If(self.coming):
            m.d.sync += [
                result.eq(unit.result) for result, unit in zip(results, units, strict=True)
            ]
        # Not within the other: then synthesis makes it the registers' reset.
        for result, counts in zip(results, self.mask, strict=True):
            with m.If(self.coming & ~counts):
                m.d.sync += result.eq(0)
        return m
