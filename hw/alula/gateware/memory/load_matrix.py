"""LD.W: a matrix to the weight stream."""

from __future__ import annotations

from itertools import pairwise

from amaranth.hdl import Cat, Module, Mux, Signal, Value
from amaranth.lib import stream
from amaranth.lib.wiring import In, Out

from alula.gateware.control.fault import Code
from alula.gateware.memory.load_jobs import COUNT_BITS, Asker, JobKind
from alula.gateware.memory.sizes import MemorySizes
from alula.gateware.stream.steps import BLOCK_BITS, GROUP_BITS
from alula.gateware.stream.weight_beats import MATRIX
from alula.gateware.stream.weight_format import by_format
from alula.gateware.stream.weight_stream import TAG
from alula.isa.formats import QUARTERS, BeatKind

__all__ = ["LoadMatrix"]


class LoadMatrix(Asker):
    """Asks for a matrix in one transfer or, with a stride, in one for each row block.

    Args:
        sizes: Of the memory.
        sparse: Matrices may have a pattern.

    Members: those of `Asker`, and
        product: Of the command's `blocks` and `groups`, from three cycles after `start` on.
        tag: To the weight stream, before the job.
        matrix: To `Room`, together with the job.
    """

    def __init__(self, sizes: MemorySizes, *, sparse: bool) -> None:
        self.sparse = sparse
        super().__init__(
            sizes,
            {
                "product": In(32 + COUNT_BITS),
                "tag": Out(stream.Signature(TAG)),
                "matrix": Out(stream.Signature(MATRIX)),
            },
        )

    def elaborate(self, platform: object) -> Module:
        """Make the module."""
        m = Module()
        command, known = self.command, self._describe(m)
        address, blocks_left = Signal(33), Signal(BLOCK_BITS)
        scales = self._by_format(m, BeatKind.SCALE)
        block, total = self._sizes(m, scales)
        strided, beats = command.stride != 0, Signal.like(total, name="beats")
        m.d.comb += [
            self.transfer.payload.address.eq(address),
            self.transfer.payload.beats.eq(beats),
            self.transfer.payload.metered.eq(1),
        ]
        with m.FSM():
            with m.State("Idle"), m.If(self.start):
                m.d.sync += [address.eq(command.addr), blocks_left.eq(command.blocks)]
                m.next = "Multiply"
                with m.If(~known):
                    self.refuse(m, Code.UNSUPPORTED, self.tag.payload.format)
                with m.Elif((command.blocks == 0) | (command.groups == 0)):
                    self.refuse(m, Code.UNDEFINED, 0)
                with m.Elif(strided & scales.any()):
                    self.refuse(m, Code.UNDEFINED, command.stride)
                with m.Elif((command.blocks >> BLOCK_BITS).any()):
                    self.refuse(m, Code.OUT_OF_RANGE, command.blocks)
                with m.Elif((command.groups >> GROUP_BITS).any()):
                    self.refuse(m, Code.OUT_OF_RANGE, command.groups)
            for state, following in pairwise(("Multiply", "Multiplied", "Size", "Sum", "Check")):
                with m.State(state):
                    m.next = following
            with m.State("Check"):
                m.d.sync += beats.eq(Mux(strided, block, total))
                m.next = "Tag"
                with m.If(~strided & (command.addr + total > self.sizes.memory_beats)):
                    self.refuse(m, Code.OUT_OF_RANGE, command.addr)
            with m.State("Tag"):
                m.d.comb += self.tag.valid.eq(1)
                with m.If(self.tag.ready):
                    m.next = "Job"
            with m.State("Job"):
                m.d.comb += [
                    self.job.valid.eq(self.matrix.ready),
                    self.matrix.valid.eq(self.job.ready),
                ]
                with m.If(self.job.ready & self.matrix.ready):
                    m.next = "Transfer"
            with m.State("Transfer"):
                self.ask(m, address, beats)
                with m.If(self.transfer.valid & self.transfer.ready):
                    m.d.sync += [
                        address.eq(address + command.stride),
                        blocks_left.eq(blocks_left - 1),
                    ]
                    with m.If(~strided | (blocks_left == 1)):
                        m.d.comb += self.over.eq(1)
                        m.next = "Idle"
            with m.State("Stopped"):
                pass
        return m

    def _describe(self, m: Module) -> Value:
        """Say what the matrix is to all who are told. Return whether there is such a format."""
        command, job = self.command, self.job.payload
        for shape in (self.tag.payload, self.matrix.payload):
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
        return self._by_format(m, name="known")

    def _sizes(self, m: Module, scales: Signal) -> tuple[Signal, Signal]:
        """Beats of a row block and of the matrix, two and three cycles behind `product`."""
        command = self.command
        # In quarters of beats. Values and indices of a group fill whole ones together.
        values = self._by_format(m, BeatKind.VALUE, BeatKind.INDEX)
        parts = {
            "values": self.product * values,
            "metas": self.product * self._by_format(m, BeatKind.META),
            "scales": command.blocks * scales,
        }
        quarters = [Signal(38, name=f"{name}_quarters") for name in parts]
        block, total = Signal(36), Signal(36)
        m.d.sync += [
            *(mine.eq(value) for mine, value in zip(quarters, parts.values(), strict=True)),
            block.eq(command.groups * values >> 2),
            total.eq(sum((number + (QUARTERS - 1)) >> 2 for number in quarters)),
        ]
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
