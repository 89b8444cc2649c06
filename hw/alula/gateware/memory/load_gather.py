"""LD.G: rows of a table, whose numbers lie in memory, to the vector buffer."""

from __future__ import annotations

from amaranth.hdl import Module, Mux, Signal
from amaranth.lib import data
from amaranth.lib.wiring import In, Out

from alula.gateware.control.fault import Code
from alula.gateware.memory.load_jobs import COUNT_BITS, Asker, JobKind, extent_layout
from alula.gateware.memory.sizes import MemorySizes

__all__ = ["LoadGather"]


class LoadGather(Asker):
    """Asks for a beat of row numbers, then for the row of each, one transfer a row.

    Members: those of `Asker`, and
        extent: Of a row.
        factors: Two numbers to multiply. product: Theirs, three cycles later.
        ids, ids_valid: The beat of row numbers that was asked for is there, in this cycle.
    """

    def __init__(self, sizes: MemorySizes) -> None:
        super().__init__(
            sizes,
            {
                "extent": In(extent_layout(sizes)),
                "factors": Out(data.StructLayout({"first": 32, "second": COUNT_BITS})),
                "product": In(32 + COUNT_BITS),
                "ids": In(8 * sizes.whole_width),
                "ids_valid": In(1),
            },
        )

    def elaborate(self, platform: object) -> Module:
        """Make the module."""
        m = Module()
        sizes, command, extent = self.sizes, self.command, self.extent
        sized = Signal()
        ids, ids_there = Signal(8 * sizes.whole_width), Signal()
        ids_address, ids_left = Signal(33), Signal(range(sizes.whole_width // 4 + 1))
        address, rows_left, dst = Signal(33), Signal(COUNT_BITS), Signal(COUNT_BITS + 1)
        beats, words = Signal(COUNT_BITS), Signal(COUNT_BITS)
        m.d.comb += [
            self.factors.first.eq(Mux(sized, ids[:32], words)),
            self.factors.second.eq(Mux(sized, beats, command.count)),
        ]
        with m.FSM() as machine:
            with m.State("Idle"), m.If(self.start):
                m.d.sync += [
                    sized.eq(0),
                    ids_address.eq(command.ids),
                    ids_left.eq(0),
                    rows_left.eq(command.count),
                    dst.eq(command.dst),
                    beats.eq(extent.beats),
                    words.eq(extent.words),
                ]
                m.next = "Multiply"
                with m.If((extent.elements == 0) | (command.count == 0)):
                    m.next = "Nothing"
                with m.Elif(~extent.fits | (command.count >> COUNT_BITS).any()):
                    self.refuse(m, Code.OUT_OF_RANGE, command.len)
            with m.State("Nothing"):
                m.d.comb += self.job.valid.eq(1)
                with m.If(self.job.ready):
                    m.d.comb += self.over.eq(1)
                    m.next = "Idle"
            with m.State("Multiply"):
                m.next = "Multiplied"
            with m.State("Multiplied"):
                m.next = "Size"
                with m.If(sized):
                    m.next = "Row"
            with m.State("Size"):
                m.d.sync += sized.eq(1)
                m.next = "Ids"
                with m.If(command.dst + self.product > sizes.words):
                    self.refuse(m, Code.OUT_OF_RANGE, command.dst)
            with m.State("Ids"):
                with m.If(ids_left == 0):
                    m.d.sync += [ids_left.eq(sizes.whole_width // 4), ids_there.eq(0)]
                    m.next = "Ids job"
                with m.Elif(ids_there):
                    m.next = "Multiply"
            with m.State("Ids job"):
                m.d.comb += self.job.valid.eq(1)
                with m.If(self.job.ready):
                    m.next = "Ids transfer"
            with m.State("Ids transfer"):
                self.ask(m, ids_address, 1)
                with m.If(self.transfer.valid & self.transfer.ready):
                    m.d.sync += ids_address.eq(ids_address + 1)
                    m.next = "Ids"
            with m.State("Row"):
                m.d.sync += address.eq(command.table + self.product)
                m.next = "Row job"
                with m.If(command.table + self.product >= sizes.memory_beats):
                    self.refuse(m, Code.OUT_OF_RANGE, command.table + self.product)
            with m.State("Row job"):
                m.d.comb += self.job.valid.eq(1)
                with m.If(self.job.ready):
                    m.next = "Row transfer"
            with m.State("Row transfer"):
                self.ask(m, address, beats)
                with m.If(self.transfer.valid & self.transfer.ready):
                    m.d.sync += [
                        dst.eq(dst + words),
                        rows_left.eq(rows_left - 1),
                        ids.eq(ids.shift_right(32)),
                        ids_left.eq(ids_left - 1),
                    ]
                    m.next = "Ids"
                    with m.If(rows_left == 1):
                        m.d.comb += self.over.eq(1)
                        m.next = "Idle"
            with m.State("Stopped"):
                pass
        with m.If(self.ids_valid):
            m.d.sync += [ids.eq(self.ids), ids_there.eq(1)]
        nothing, of_row = machine.ongoing("Nothing"), machine.ongoing("Row job")
        asks_row = machine.ongoing("Row transfer")
        job, transfer = self.job.payload, self.transfer.payload
        m.d.comb += [
            job.kind.eq(Mux(of_row, JobKind.ROW, Mux(nothing, JobKind.NOTHING, JobKind.IDS))),
            job.ends.eq(nothing | (of_row & (rows_left == 1))),
            job.address.eq(Mux(of_row, address, ids_address)),
            job.dst.eq(dst),
            transfer.address.eq(Mux(asks_row, address, ids_address)),
            transfer.beats.eq(Mux(asks_row, beats, 1)),
        ]
        return m
