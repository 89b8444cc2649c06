"""Tables of `alula.isa.functions`: a ROM of several, and linear interpolation."""

from collections.abc import Sequence
from itertools import chain

from amaranth.hdl import Module, Shape, Signal, signed, unsigned
from amaranth.lib import wiring
from amaranth.lib.data import StructLayout
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out

from alula.gateware.arithmetic.dsp48e2 import C, M, dsp48e2
from alula.isa.functions import TABLES, Table

ROM_LATENCY = 2
LATENCY = ROM_LATENCY + 2
"""Cycles from an argument to its interpolated value."""


def _shape(values: Sequence[int]) -> Shape:
    low, high = min(values), max(values)
    if low < 0:
        return signed(max(high.bit_length(), (~low).bit_length()) + 1)
    return unsigned(high.bit_length())


def _named(names: Sequence[str]) -> tuple[Table, ...]:
    known = {table.name: table for table in TABLES}
    for name in names:
        if name not in known:
            raise ValueError(f"tables must be among {', '.join(known)}, not {name!r}")
    return tuple(known[name] for name in names)


def coefficients(names: Sequence[str]) -> StructLayout:
    """The shape of one row of a ROM of these tables: `c0` and `c1`."""
    pairs = [table.coefficients for table in _named(names)]
    c0, c1 = (tuple(chain.from_iterable(part)) for part in zip(*pairs, strict=True))
    return StructLayout({"c0": _shape(c0), "c1": _shape(c1)})


def offsets(names: Sequence[str]) -> dict[str, int]:
    """Where each table starts in a ROM: at a multiple of its size, rounded to a power of two."""
    found, end = {}, 0
    for table in _named(names):
        size = 1 << (table.segments - 1).bit_length()
        end = -(-end // size) * size
        found[table.name] = end
        end += table.segments
    return found


class TableRom(wiring.Component):
    """Coefficients of some tables behind several read ports: two share one block RAM.

    Args:
        tables: names of the tables, in the order of `offsets`.
        ports: read ports, 1 or 2.

    Members:
        enable (In, each port): a row is wanted.
        address (In, each port): its number.
        row (Out, each port): `coefficients`, `ROM_LATENCY` cycles later.
    """

    def __init__(self, *, tables: tuple[str, ...], ports: int = 1) -> None:
        if ports not in (1, 2):
            raise ValueError(f"ports must be 1 or 2, not {ports!r}")
        self.tables = tables
        self.ports = ports
        self._row = coefficients(tables)
        starts = offsets(tables)
        self.depth = max(starts[table.name] + table.segments for table in _named(tables))
        address = (self.depth - 1).bit_length()
        super().__init__(
            {
                "enable": In(1).array(ports),
                "address": In(address).array(ports),
                "row": Out(self._row).array(ports),
            }
        )

    def elaborate(self, platform: object) -> Module:
        """A memory and its output registers."""
        m = Module()
        rows = [{"c0": 0, "c1": 0}] * self.depth
        for table in _named(self.tables):
            start = offsets(self.tables)[table.name]
            for index, (c0, c1) in enumerate(zip(*table.coefficients, strict=True)):
                rows[start + index] = {"c0": c0, "c1": c1}
        m.submodules.memory = memory = Memory(shape=self._row, depth=self.depth, init=rows)
        for index in range(self.ports):
            port = memory.read_port()
            again = Signal()
            m.d.comb += [port.en.eq(self.enable[index]), port.addr.eq(self.address[index])]
            m.d.sync += again.eq(self.enable[index])
            row = Signal(self._row, name=f"row_{index}", reset_less=True)
            m.d.comb += self.row[index].eq(row)
            with m.If(again):
                m.d.sync += row.eq(port.data)
        return m


class Interpolate(wiring.Component):
    """`c0 + ((c1 * rest) >> step)`: what comes after the ROM.

    Args:
        row: shape of the coefficients.
        width: bits of the result.
        step: bits of the place within a segment.

    Members:
        valid (In): the row is there.
        row (In): coefficients of the segment.
        rest (In): the place within it. Where a table has fewer step bits, zeros below them.
        result_valid (Out): `valid`, 2 cycles later.
        result (Out): the value, unsigned.
    """

    def __init__(self, *, row: StructLayout, width: int, step: int) -> None:
        self.row_shape = row
        self.width = width
        self.step = step
        super().__init__(
            {
                "valid": In(1),
                "row": In(row),
                "rest": In(step),
                "result_valid": Out(1),
                "result": Out(width),
            }
        )

    def elaborate(self, platform: object) -> Module:
        """A product; a sum."""
        m = Module()
        v1 = Signal()
        m.d.sync += [v1.eq(self.valid), self.result_valid.eq(v1)]
        c0, c1 = self.row["c0"], self.row["c1"]
        if platform == "dsp48e2":
            total = Signal(48)
            m.submodules.block = dsp48e2(
                M | C,
                inputs={"A": c1, "B": self.rest, "C": c0 << self.step},
                outputs={"P": total},
                registers={"AREG": 0, "BREG": 0},
                enables={"M": self.valid, "C": self.valid, "P": v1},
            )
            m.d.comb += self.result.eq(total[self.step :])
            return m
        product1 = Signal(signed(len(c1) + self.step + 1), reset_less=True)
        base1 = Signal(c0.shape(), reset_less=True)
        result = Signal(self.width, reset_less=True)
        m.d.comb += self.result.eq(result)
        with m.If(self.valid):
            m.d.sync += [product1.eq(c1 * self.rest), base1.eq(c0)]
        with m.If(v1):
            m.d.sync += result.eq(base1 + (product1 >> self.step))
        return m
