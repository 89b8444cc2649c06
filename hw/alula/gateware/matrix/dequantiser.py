"""A block of weights, as the stream packs it, to INT8."""

from amaranth.hdl import Cat, Module, Signal, Value, signed
from amaranth.lib import data
from amaranth.lib.wiring import Component, In, Out

from alula.design import BLOCK
from alula.gateware.hdl.repeat import shared
from alula.gateware.stream.weight_format import (
    FORMAT_BITS,
    ROW_BITS,
    by_format,
    channel_rows,
    formats,
)
from alula.isa.formats import FORMATS, QUARTERS

LATENCY = 2
"""Cycles from beats to weights: a block RAM hands them out, so they are registered first."""
WIDTHS = sorted({item.bits for item in FORMATS.values()})


def kinds(*, sparse: bool) -> list[tuple[int, bool]]:
    """Bits of a value, and whether an excess is taken off, of each kind of format in order."""
    found = formats(sparse=sparse).values()
    return list(dict.fromkeys((item.bits, bool(item.excess)) for item in found))


class RowDequantiser(Component):
    """The 16 values of a row out of the bit string of each width.

    Args:
        sparse (bool): See `Dequantiser`.

    Members:
        kind (In): Number of the format's width and excess.
        enable (In(1)): The weights change only after a cycle with ``enable``.
        string_2, string_3, string_4, string_8 (In(16 * width)): The row's values if they have that
            many bits.
        weights (Out(16 x 8), signed): A cycle later.
    """

    def __init__(self, *, sparse: bool = False) -> None:
        self.sparse = bool(sparse)
        super().__init__(
            {
                "kind": In(range(len(kinds(sparse=sparse)))),
                "enable": In(1),
                **{f"string_{width}": In(BLOCK * width) for width in WIDTHS},
                "weights": Out(data.ArrayLayout(signed(8), BLOCK)),
            }
        )

    def elaborate(self, platform: object) -> Module:
        """Make the module."""
        m = Module()
        weights = Signal(8 * BLOCK, reset_less=True)
        m.d.comb += self.weights.eq(weights)
        with m.If(self.enable), m.Switch(self.kind):
            for kind, (width, excess) in enumerate(kinds(sparse=self.sparse)):
                string = getattr(self, f"string_{width}")
                values = [self._value(string.word_select(i, width), excess) for i in range(BLOCK)]
                with m.Case(kind):
                    m.d.sync += weights.eq(Cat(values))
        return m

    @staticmethod
    def _value(stored: Value, excess: bool) -> Value:
        """8 bits: the excess is half the range, so the top bit flips and becomes the sign."""
        top = ~stored[-1] if excess else stored[-1]
        return Cat(stored[:-1], top.replicate(9 - len(stored)))


class Dequantiser(Component):
    """Takes 16 values of each row out of two beats and removes their excess.

    Args:
        rows (int): Rows of a block, a multiple of ``channels``.
        channels (int): Memory channels, each of which packs its own rows into its part of a beat.
        sparse (bool): Formats may have a pattern: their values are signed.

    Members:
        format (In(7)): Code of the format.
        beats (In(2 x 64 * rows)): The beat in which the block begins, and the one after it.
        phase (In(2)): Quarter of the first beat in which the block begins: 0, or any for 2 and 3
            bits.
        enable (In(1)): A block is there; the weights change only then, `LATENCY` cycles later.
        weights (Out(rows x 16 x 8), signed): `LATENCY` cycles later.
    """

    def __init__(self, *, rows: int, channels: int = 1, sparse: bool = False) -> None:
        self._share = channel_rows(rows, channels)
        self.rows = rows
        self.channels = channels
        self.sparse = bool(sparse)
        super().__init__(
            {
                "format": In(FORMAT_BITS),
                "beats": In(data.ArrayLayout(ROW_BITS * rows, 2)),
                "phase": In(2),
                "enable": In(1),
                "weights": Out(data.ArrayLayout(data.ArrayLayout(signed(8), BLOCK), rows)),
            }
        )

    def elaborate(self, platform: object) -> Module:
        """Make the module."""
        m = Module()
        rows = self._share
        width = ROW_BITS * rows
        known = kinds(sparse=self.sparse)
        beats = Signal(self.beats.shape(), reset_less=True)
        phase, kind, entered = Signal(2), Signal(range(len(known))), Signal()
        m.d.sync += entered.eq(self.enable)
        with m.If(self.enable):
            m.d.sync += [beats.eq(self.beats), phase.eq(self.phase)]
            m.d.sync += kind.eq(
                by_format(
                    m,
                    self.format,
                    lambda item: known.index((item.bits, bool(item.excess))),
                    name="next_kind",
                    sparse=self.sparse,
                )
            )
        for channel in range(self.channels):
            joined = Cat(beats[beat].word_select(channel, width) for beat in range(2))
            narrow = Signal(width, name=f"narrow_{channel}")
            quarters = [joined[phase * width // QUARTERS :][:width] for phase in range(QUARTERS)]
            m.d.comb += narrow.eq(Cat(quarters).word_select(phase, width))
            for row in range(rows):
                part = RowDequantiser(sparse=self.sparse)
                place = channel * rows + row
                m.submodules[f"row_{place}"] = shared(part)
                m.d.comb += [
                    part.kind.eq(kind),
                    part.enable.eq(entered),
                    self.weights[place].eq(part.weights),
                ]
                for bits in WIDTHS:
                    # Whole beats begin a block of 4 or 8 bits; only those of 2 and 3 are shifted.
                    string = narrow if bits < QUARTERS else joined
                    m.d.comb += getattr(part, f"string_{bits}").eq(
                        string[BLOCK * bits * row :][: BLOCK * bits]
                    )
        return m
