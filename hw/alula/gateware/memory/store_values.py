"""Where a row of V goes: the values of one channel that share a beat, 16 bytes apart."""

from amaranth.hdl import Array, Cat, Module, Mux, Signal, Value

from alula.design import BLOCK
from alula.gateware.memory.store_cache import CacheRuns
from alula.gateware.memory.store_runs import ADDRESS_BITS


class ValueRuns(CacheRuns):
    """V of a head is a V8 matrix whose rows are values; a token is a column of it."""

    def elaborate(self, platform: object) -> Module:
        """Make the module."""
        m = Module()
        progress, lane, rows, command = self.progress, self.lane, self.rows, self.command
        in_lane = lane.bit_length() - 1
        shared = min(max(rows // 2, 1), BLOCK)
        down, first = Signal(range(max(2, self.block_rows))), Signal(ADDRESS_BITS)
        scales_at = Signal(ADDRESS_BITS)
        m.d.sync += scales_at.eq(progress.base + command.scales + (progress.block >> 2))
        with m.If(self.begin):
            m.d.sync += [down.eq(0), first.eq(progress.base + ((progress.position >> 4) << 1))]
        with m.Elif(self.next):
            m.d.sync += down.eq(down + shared)
            with m.If(down == self.block_rows - shared):
                m.d.sync += [down.eq(0), first.eq(first + command.pitch)]
        values = Array(progress.staged.data.as_value().word_select(i, 8) for i in range(BLOCK))
        chunk = [values[(progress.piece * shared + i)[:4]] for i in range(shared)]
        run, strobe, beat = self._spread(chunk, progress.position[:4], down & (rows - 1))
        scale = Signal(range(self.sizes.whole_width))
        m.d.comb += [
            self.run.address.eq(first + beat),
            self.run.channel.eq(down >> (rows.bit_length() - 1)),
            self.run.data.eq(run),
            self.run.strobe.eq(strobe),
            self.last.eq(progress.piece == BLOCK // shared - 1),
            scale.eq((progress.block[:2] * self.block_rows + progress.rest) << 1),
            self.scale.address.eq(scales_at),
            self.scale.channel.eq(scale >> in_lane),
            self.scale.data.eq(progress.staged.scale.replicate(lane // 2)),
            self.scale.strobe.eq(0b11 << scale[:in_lane]),
        ]
        return m

    def _spread(self, chunk: list[Value], column: Value, row: Value) -> tuple[Value, Value, Value]:
        """Data and strobe of values below each other in a column; which of two beats it is."""
        lane, shared = self.lane, len(chunk)
        if lane < BLOCK:
            return chunk[0].replicate(lane), (1 << column[:3])[:lane], column[3]
        slots = lane // BLOCK
        first = (row & (slots - 1)) >> (shared.bit_length() - 1)
        data = Cat(chunk[slot % shared].replicate(BLOCK) for slot in range(slots))
        strobe = Cat(Mux(first == slot // shared, 1 << column, 0)[:BLOCK] for slot in range(slots))
        return data, strobe, row >> (slots.bit_length() - 1)
