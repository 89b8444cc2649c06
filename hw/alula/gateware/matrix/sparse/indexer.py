"""Indices of a block, as the stream packs them, to the inputs that its values meet."""

from amaranth.hdl import Cat, Const, Module, Mux, Signal
from amaranth.lib import data
from amaranth.lib.wiring import Component, In, Out

from alula.design import BLOCK
from alula.gateware.stream.weight_format import FORMAT_BITS, ROW_BITS, by_format, channel_rows
from alula.isa.formats import PATTERNS

LATENCY = 2
"""Cycles from a beat to its indices: a block RAM hands it out, so it is registered first."""
NARROW = PATTERNS["2:4"]
"""The pattern whose indices count within four inputs; the others' count within the block."""


class Indexer(Component):
    """Takes the 16 indices of each chain out of a beat.

    Args:
        rows (int): Chains, a multiple of ``channels``.
        channels (int): Memory channels, each of which packs its own chains into its part of a beat.

    Members:
        format (In(7)): Code of the format.
        beat (In(64 * rows)): The beat in which the block's indices lie.
        phase (In(2)): Quarter of the beat in which they begin: 0, or 2 for indices of 2 bits.
        enable (In(1)): A block is there; the indices change only then, `LATENCY` cycles later.
        index (Out(rows x 16 x 4)): `LATENCY` cycles later.
    """

    def __init__(self, *, rows: int, channels: int = 1) -> None:
        self._share = channel_rows(rows, channels)
        self.rows = rows
        self.channels = channels
        super().__init__(
            {
                "format": In(FORMAT_BITS),
                "beat": In(ROW_BITS * rows),
                "phase": In(2),
                "enable": In(1),
                "index": Out(data.ArrayLayout(data.ArrayLayout(4, BLOCK), rows)),
            }
        )

    def elaborate(self, platform: object) -> Module:
        """Make the module."""
        m = Module()
        beat = Signal(self.beat.shape(), reset_less=True)
        phase, narrow, entered = Signal(2), Signal(), Signal()
        m.d.sync += entered.eq(self.enable)
        with m.If(self.enable):
            m.d.sync += [
                beat.eq(self.beat),
                phase.eq(self.phase),
                narrow.eq(
                    by_format(
                        m,
                        self.format,
                        lambda item: item.pattern is NARROW,
                        name="next_narrow",
                        sparse=True,
                    )
                ),
            ]
        rows = self._share
        wide, bits = ROW_BITS // BLOCK, NARROW.index_bits
        index = Signal(self.index.shape(), reset_less=True)
        m.d.comb += self.index.eq(index)
        # A row's values follow each other, `kept` of them for every four inputs.
        firsts = [i % (BLOCK // NARROW.segments) // NARROW.kept for i in range(BLOCK)]
        for channel in range(self.channels):
            part = beat.word_select(channel, ROW_BITS * rows)
            half = part.word_select(phase[1], ROW_BITS * rows // 2)
            for row in range(rows):
                target = index[channel * rows + row]
                for i in range(BLOCK):
                    place = row * BLOCK + i
                    within = Cat(half.word_select(place, bits), Const(firsts[i], wide - bits))
                    with m.If(entered):
                        m.d.sync += target[i].eq(Mux(narrow, within, part.word_select(place, wide)))
        return m
