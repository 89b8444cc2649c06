"""LD.G: rows of a table, whose numbers lie in memory, to the vector buffer."""

from amaranth.hdl import Module, Mux, Signal, Value
from amaranth.lib import data
from amaranth.lib.wiring import In, Out

from alula.gateware.control.fault import Code
from alula.gateware.hdl.states import following
from alula.gateware.memory.load_jobs import COUNT_BITS, Asker, JobKind, extent_layout
from alula.gateware.memory.sizes import MemorySizes


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
        sized, empty, excess, long = Signal(), Signal(), Signal(), Signal()
        ids, ids_there = Signal(8 * sizes.whole_width, reset_less=True), Signal(init=1)
        ids_address, ids_left = Signal(33), Signal(range(sizes.whole_width // 4 + 1))
        address, rows_left = Signal(len(self.product) + 1, reset_less=True), Signal(COUNT_BITS)
        # The row number at hand: beats of them stand still, so that no bit of them is chosen twice.
        place, number = Signal(range(sizes.whole_width // 4)), Signal(32, reset_less=True)
        last_row = Signal()
        dst, end = Signal(COUNT_BITS + 1), Signal.like(address)
        ids_beyond, beyond = (
            self.beyond(m, ids_address, 1), self.beyond(m, address, extent.beats)
        )  # fmt: skip
        m.d.comb += [
            self.factors.first.eq(Mux(sized, number, extent.words)),
            self.factors.second.eq(Mux(sized, extent.beats, command.count)),
        ]
        m.d.sync += [
            empty.eq((extent.elements == 0) | (command.count == 0)),
            excess.eq(~extent.fits | (command.count >> COUNT_BITS).any()),
            address.eq(command.table + self.product),
            end.eq(command.dst + self.product),
            long.eq(end > sizes.words),
            last_row.eq(rows_left == 1),
            number.eq(ids.word_select(place, 32)),
        ]
        job, transfer = self.job.payload, self.transfer.payload
        with m.FSM() as machine:
            with m.State("Idle"), m.If(self.start):
                m.d.sync += [
                    sized.eq(0),
                    ids_address.eq(command.ids),
                    ids_left.eq(0),
                    rows_left.eq(command.count),
                    dst.eq(command.dst),
                ]
                m.next = "Factors"
                with m.If(empty):
                    m.next = "Nothing"
                with m.Elif(excess):
                    self.refuse(m, Code.OUT_OF_RANGE, command.len)
            with m.State("Nothing"):
                m.d.comb += [self.job.valid.eq(1), job.kind.eq(JobKind.NOTHING), job.ends.eq(1)]
                with m.If(self.job.ready):
                    m.d.comb += self.over.eq(1)
                    m.next = "Idle"
            following(m, ("Factors", "Multiply", "Multiplied", "Sum"))
            with m.State("Sum"):
                m.next = "Size end"
                with m.If(sized):
                    m.next = "Row end"
            following(m, ("Size end", "Size"))
            with m.State("Size"):
                m.d.sync += sized.eq(1)
                m.next = "Ids"
                with m.If(long):
                    self.refuse(m, Code.OUT_OF_RANGE, command.dst)
            self._next_ids(m, ids_address, ids_left, place, ids_there, ids_beyond)
            following(m, ("Row end", "Row check", "Row"))
            with m.State("Row"):
                m.next = "Row job"
                with m.If(beyond):
                    self.refuse(m, Code.OUT_OF_RANGE, address)
            with m.State("Row job"):
                m.d.comb += [
                    self.job.valid.eq(1),
                    job.kind.eq(JobKind.ROW),
                    job.ends.eq(last_row),
                    job.address.eq(address),
                    job.dst.eq(dst),
                ]
                with m.If(self.job.ready):
                    m.next = "Row transfer"
            with m.State("Row transfer"):
                m.d.comb += self.transfer.valid.eq(1)
                with m.If(self.transfer.ready):
                    m.d.sync += [
                        dst.eq(dst + extent.words),
                        rows_left.eq(rows_left - 1),
                        place.eq(place + 1),
                        ids_left.eq(ids_left - 1),
                    ]
                    m.next = "Ids"
                    with m.If(last_row):
                        m.d.comb += self.over.eq(1)
                        m.next = "Idle"
            with m.State("Stopped"):
                pass
        asks_row = machine.ongoing("Row transfer")
        m.d.comb += [
            transfer.address.eq(Mux(asks_row, address, ids_address)),
            transfer.beats.eq(Mux(asks_row, extent.beats, 1)),
        ]
        with m.If(~ids_there):  # that they come is known late
            m.d.sync += ids.eq(self.ids)
        with m.If(self.ids_valid):
            m.d.sync += ids_there.eq(1)
        return m

    def _next_ids(
        self, m: Module, address: Signal, left: Signal, place: Signal, there: Signal, beyond: Value
    ) -> None:
        """States that bring the next beat of ids, unless one is at hand."""
        job, most = self.job.payload, self.sizes.whole_width // 4
        with m.State("Ids"):
            with m.If(left == 0):
                m.d.sync += [left.eq(most), place.eq(0), there.eq(0)]
                m.next = "Ids job"
            with m.Elif(there):
                m.next = "Factors"
        with m.State("Ids job"):
            m.d.comb += [
                self.job.valid.eq(1),
                job.kind.eq(JobKind.IDS),
                job.address.eq(address),
            ]
            with m.If(self.job.ready):
                m.next = "Ids transfer"
        with m.State("Ids transfer"):
            m.d.comb += self.transfer.valid.eq(~beyond)
            with m.If(beyond):
                self.refuse(m, Code.OUT_OF_RANGE, address)
            with m.Elif(self.transfer.ready):
                m.d.sync += address.eq(address + 1)
                m.next = "Ids"
