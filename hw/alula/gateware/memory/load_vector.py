"""LD.V: one row to the vector buffer; and what loads nothing, LD.SYNC among it."""

from amaranth.hdl import Module, Mux, Signal
from amaranth.lib.wiring import In

from alula.gateware.control.command import opcode
from alula.gateware.control.fault import Code
from alula.gateware.memory.load_jobs import Asker, JobKind, extent_layout
from alula.gateware.memory.sizes import MemorySizes


class LoadVector(Asker):
    """Asks for a row in one transfer.

    Members: those of `Asker`, and
        extent: Of the row.
    """

    def __init__(self, sizes: MemorySizes) -> None:
        super().__init__(sizes, {"extent": In(extent_layout(sizes))})

    def elaborate(self, platform: object) -> Module:
        """Make the module."""
        m = Module()
        sizes, command, extent, job = self.sizes, self.command, self.extent, self.job.payload
        empty, excess, end = Signal(), Signal(), Signal(33)
        beyond = self.beyond(m, command.addr, extent.beats)
        m.d.sync += [
            empty.eq((command.opcode != opcode("LD.V")) | (extent.elements == 0)),
            end.eq(command.dst + extent.words),
            excess.eq(~extent.fits | (end > sizes.words)),
        ]
        m.d.comb += [
            job.kind.eq(Mux(empty, JobKind.NOTHING, JobKind.ROW)),
            job.ends.eq(1),
            job.address.eq(command.addr),
            job.dst.eq(command.dst),
            self.transfer.payload.address.eq(command.addr),
            self.transfer.payload.beats.eq(extent.beats),
        ]
        with m.FSM():
            with m.State("Idle"), m.If(self.start):
                m.next = "Job"
                with m.If(~empty):
                    with m.If(excess):
                        self.refuse(m, Code.OUT_OF_RANGE, command.dst)
                    with m.Elif(beyond):
                        self.refuse(m, Code.OUT_OF_RANGE, command.addr)
            with m.State("Job"):
                m.d.comb += self.job.valid.eq(1)
                with m.If(self.job.ready):
                    m.d.comb += self.over.eq(empty)
                    m.next = "Transfer"
                    with m.If(empty):
                        m.next = "Idle"
            with m.State("Transfer"):
                m.d.comb += self.transfer.valid.eq(1)
                with m.If(self.transfer.ready):
                    m.d.comb += self.over.eq(1)
                    m.next = "Idle"
            with m.State("Stopped"):
                pass
        return m
