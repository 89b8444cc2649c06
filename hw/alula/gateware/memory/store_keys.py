"""Where a row of K goes: runs of 16 bytes, cut where a channel's part of a beat is shorter."""

from amaranth.hdl import Array, Module, Signal

from alula.gateware.memory.store_cache import CacheRuns
from alula.gateware.memory.store_runs import ADDRESS_BITS
from alula.isa.formats import BLOCK


class KeyRuns(CacheRuns):
    """K of a head is a W8 matrix whose rows are tokens; offsets stand three cycles after `rest`."""

    def elaborate(self, platform: object) -> Module:
        """Make the module."""
        m = Module()
        walk, lane, rows = self.walk, self.lane, self.rows
        groups, quarter = self.command.groups[:4], walk.block[:2]
        in_lane = lane.bit_length() - 1
        unit = min(BLOCK, lane)
        channel, row = Signal(self.run.channel.shape()), Signal(range(max(2, rows)))
        values, scales = Signal(ADDRESS_BITS), Signal(ADDRESS_BITS)
        first, scales_at = Signal(ADDRESS_BITS), Signal(ADDRESS_BITS)
        byte, scale = Signal(range(BLOCK * rows)), Signal(range(lane))
        pieces = Array(
            walk.staged.data.as_value().word_select(i, 8 * unit) for i in range(BLOCK // unit)
        )
        m.d.sync += [
            scales.eq((walk.block >> 2) * ((groups << 4) + 1)),
            values.eq(scales + 1 + quarter * (groups << 2)),
            first.eq(walk.base + values),
            scales_at.eq(walk.base + scales),
        ]
        m.d.comb += [
            channel.eq(walk.rest >> (rows.bit_length() - 1)),
            row.eq(walk.rest & (rows - 1)),
            byte.eq((row << 4) + walk.piece * unit),
            self.run.address.eq(first + (walk.part << 1) + (byte >> in_lane)),
            self.run.channel.eq(channel),
            self.run.data.eq(pieces[walk.piece].replicate(lane // unit)),
            self.run.strobe.eq(((1 << unit) - 1) << byte[:in_lane]),
            self.last.eq(walk.piece == BLOCK // unit - 1),
            scale.eq(((quarter * rows) + row) << 1),
            self.scale.address.eq(scales_at),
            self.scale.channel.eq(channel),
            self.scale.data.eq(walk.staged.scale.replicate(lane // 2)),
            self.scale.strobe.eq(0b11 << scale),
        ]
        return m
