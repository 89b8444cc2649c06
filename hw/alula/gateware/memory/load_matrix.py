"""LD.W: a matrix to the weight stream."""

from amaranth.hdl import Cat, Module, Mux, Signal, ValueLike
from amaranth.lib import stream
from amaranth.lib.wiring import In, Out

from alula.gateware.control.fault import Code
from alula.gateware.hdl.states import following
from alula.gateware.memory.load_jobs import COUNT_BITS, Asker, JobKind
from alula.gateware.memory.sizes import MemorySizes
from alula.gateware.stream.steps import BLOCK_BITS, GROUP_BITS
from alula.gateware.stream.weight_beats import MATRIX
from alula.gateware.stream.weight_format import by_format
from alula.gateware.stream.weight_stream import TAG
from alula.isa.formats import QUARTERS, BeatKind


class LoadMatrix(Asker):
    """Asks for a matrix in one transfer or, with a stride, in one for each row block.

    Args:
        sizes: Of the memory.
        sparse: Matrices may have a pattern.

    Members: those of `Asker`, and
        product: Of the command's `blocks` and `groups`; valid with `start`.
        tag: To the weight stream, before the job.
        reserve: To `CreditCounter`, before the job. matrix: To `LoadDelivery`, then.
    """

    def __init__(self, sizes: MemorySizes, *, sparse: bool) -> None:
        self.sparse = sparse
        super().__init__(
            sizes,
            {
                "product": In(32 + COUNT_BITS),
                "tag": Out(stream.Signature(TAG)),
                "reserve": Out(stream.Signature(MATRIX)),
                "matrix": Out(stream.Signature(MATRIX)),
            },
        )

    def elaborate(self, platform: object) -> Module:
        """Make the module."""
        m = Module()
        command = self.command
        self._describe(m)
        refusals = self._refusals(m)
        strided = Signal()
        block, total = self._sizes(m)
        beats, address = Signal.like(total), Signal(33)
        blocks_left, last = Signal(BLOCK_BITS), Signal()
        # A matrix without gaps is known to fit before the stream hears of it.
        beyond = self.beyond(m, address, beats)
        m.d.sync += strided.eq(command.stride != 0)
        m.d.comb += [
            self.transfer.payload.address.eq(address),
            self.transfer.payload.beats.eq(beats),
            self.transfer.payload.metered.eq(1),
        ]
        with m.FSM():
            with m.State("Idle"), m.If(self.start):
                m.d.sync += [
                    address.eq(command.addr),
                    blocks_left.eq(command.blocks),
                    last.eq(~strided | (command.blocks == 1)),
                ]
                m.next = "Add"
                for number, (refused, code, detail) in enumerate(refusals):
                    with m.If(refused) if number == 0 else m.Elif(refused):
                        self.refuse(m, code, detail)
            following(m, ("Add", "Sum", "Beats"))
            with m.State("Beats"):
                m.d.sync += beats.eq(Mux(strided, block, total))
                m.next = "End"
            following(m, ("End", "Compare", "Check"))
            with m.State("Check"):
                m.next = "Tag"
                with m.If(~strided & beyond):
                    self.refuse(m, Code.OUT_OF_RANGE, command.addr)
            for state, offer, after in (
                ("Tag", self.tag, "Credit counter"),
                ("Credit counter", self.reserve, "Beats job"),
                ("Beats job", self.matrix, "Job"),
                ("Job", self.job, "Transfer"),
            ):
                with m.State(state):
                    m.d.comb += offer.valid.eq(1)
                    with m.If(offer.ready):
                        m.next = after
            with m.State("Transfer"):
                m.d.comb += self.transfer.valid.eq(~beyond)
                with m.If(beyond):
                    self.refuse(m, Code.OUT_OF_RANGE, address)
                with m.Elif(self.transfer.ready):
                    m.d.sync += [
                        address.eq(address + command.stride),
                        blocks_left.eq(blocks_left - 1),
                        last.eq(blocks_left == 2),
                    ]
                    m.next = "Next end"
                    with m.If(last):
                        m.d.comb += self.over.eq(1)
                        m.next = "Idle"
            following(m, ("Next end", "Next compare", "Transfer"))
            with m.State("Stopped"):
                pass
        return m

    def _describe(self, m: Module) -> None:
        """Drive what the matrix is to the reader, the credit counter and the weight stream."""
        command, job = self.command, self.job.payload
        for shape in (self.tag.payload, self.reserve.payload, self.matrix.payload):
            m.d.comb += [
                shape.format.eq(Cat(command.fmt, command.nm)),
                shape.blocks.eq(command.blocks),
                shape.groups.eq(command.groups),
            ]
        m.d.comb += [
            self.tag.payload.mm.eq(command.to),
            job.kind.eq(JobKind.MATRIX),
            job.ends.eq(1),
            job.address.eq(command.addr),
        ]

    def _refusals(self, m: Module) -> list[tuple[Signal, Code, ValueLike]]:
        """Return why a command may be refused, the first first; known a cycle after it is valid."""
        command = self.command
        known, scales = self._by_format(m, name="known"), self._by_format(m, BeatKind.SCALE)
        empty = (command.blocks == 0) | (command.groups == 0)
        found = []
        for name, refused, code, detail in (
            ("unknown", ~known, Code.UNSUPPORTED, self.tag.payload.format),
            ("empty", empty, Code.UNDEFINED, 0),
            ("gaps", command.stride.any() & scales.any(), Code.UNDEFINED, command.stride),
            ("tall", command.blocks >> BLOCK_BITS, Code.OUT_OF_RANGE, command.blocks),
            ("wide", command.groups >> GROUP_BITS, Code.OUT_OF_RANGE, command.groups),
        ):
            flag = Signal(name=name)
            m.d.sync += flag.eq(refused.any())
            found.append((flag, code, detail))
        return found

    def _sizes(self, m: Module) -> tuple[Signal, Signal]:
        """Beats of a row block and of the matrix, three cycles behind `product`."""
        command = self.command
        # In quarters of beats. Values and indices of a group fill whole ones together.
        values = self._by_format(m, BeatKind.VALUE, BeatKind.INDEX)
        factors = {
            "values": (self.product, values),
            "metas": (self.product, self._by_format(m, BeatKind.META, name="metas_of_group")),
            "scales": (command.blocks, self._by_format(m, BeatKind.SCALE, name="scales_of_block")),
            "block": (command.groups, values),
        }
        quarters = {}
        for name, (count, factor) in factors.items():
            held = Signal.like(factor, name=f"{name}_each")
            low, high = (
                Signal(22, name=f"{name}_{part}", reset_less=True) for part in ("low", "high")
            )
            quarters[name] = Signal(38, name=f"{name}_quarters", reset_less=True)
            m.d.sync += [
                held.eq(factor),
                low.eq(count[:17] * held),
                high.eq(count[17:34] * held),
                quarters[name].eq(low + (high << 17)),
            ]
        block, total = (Signal(36, name=name, reset_less=True) for name in ("block", "total"))
        whole = [(quarters[name] + (QUARTERS - 1)) >> 2 for name in ("values", "metas", "scales")]
        m.d.sync += [block.eq(quarters["block"] >> 2), total.eq(sum(whole))]
        return block, total

    def _by_format(self, m: Module, *kinds: BeatKind, name: str = "") -> Signal:
        """Quarters of beats that a group takes of these kinds; 1 for no kinds; 0 for no format."""
        return by_format(
            m,
            self.tag.payload.format,
            lambda item: sum(item.quarters(kind) for kind in kinds) if kinds else 1,
            name=name or f"{kinds[0].name.lower()}_of_group",
            sparse=self.sparse,
        )
