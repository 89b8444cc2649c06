"""Where a row of K goes: runs of 16 bytes, cut where a channel's part of a beat is shorter."""

from amaranth.hdl import Array, Module, Mux, Signal

from alula.design import BLOCK
from alula.gateware.memory.store_cache import CacheRuns
from alula.gateware.memory.store_runs import ADDRESS_BITS


class KeyRuns(CacheRuns):
    """K of a head is a W8 matrix, a row a token; offsets are valid three cycles after `rest`."""

    def elaborate(self, platform: object) -> Module:
        """Make the module."""
        m = Module()
        progress, lane, rows = self.progress, self.lane, self.rows
        groups, quarter = self.command.groups[:4], progress.block[:2]
        in_lane = lane.bit_length() - 1
        unit = min(BLOCK, lane)
        channel, row = Signal(self.run.channel.shape()), Signal(range(max(2, rows)))
        values, scales = Signal(ADDRESS_BITS), Signal(ADDRESS_BITS)
        first, scales_at = Signal(ADDRESS_BITS), Signal(ADDRESS_BITS)
        byte, scale = Signal(range(BLOCK * rows)), Signal(range(lane))
        pieces = Array(
            progress.staged.data.as_value().word_select(i, 8 * unit) for i in range(BLOCK // unit)
        )
        # Factors are registered beside their multiplier, which may lie far from all else.
        fours, group_beats = Signal.like(progress.block), Signal(len(groups) + 4)
        before = Signal(len(groups) + 2)
        m.d.sync += [
            fours.eq(progress.block >> 2),
            group_beats.eq((groups << 4) + 1),
            scales.eq(fours * group_beats),
            before.eq(Mux(quarter[0], groups, 0) + Mux(quarter[1], groups << 1, 0)),
            values.eq(scales + 1 + (before << 2)),
            first.eq(progress.base + values),
            scales_at.eq(progress.base + scales),
        ]
        m.d.comb += [
            channel.eq(progress.rest >> (rows.bit_length() - 1)),
            row.eq(progress.rest & (rows - 1)),
            byte.eq((row << 4) + progress.piece * unit),
            self.run.address.eq(first + (progress.half << 1) + (byte >> in_lane)),
            self.run.channel.eq(channel),
            self.run.data.eq(pieces[progress.piece].replicate(lane // unit)),
            self.run.strobe.eq(((1 << unit) - 1) << byte[:in_lane]),
            self.last.eq(progress.piece == BLOCK // unit - 1),
            scale.eq(((quarter * rows) + row) << 1),
            self.scale.address.eq(scales_at),
            self.scale.channel.eq(channel),
            self.scale.data.eq(progress.staged.scale.replicate(lane // 2)),
            self.scale.strobe.eq(0b11 << scale),
        ]
        return m
