"""What each beat of a weight matrix is, by counting alone."""

from __future__ import annotations

from amaranth.hdl import Module, Mux, Signal
from amaranth.lib import data
from amaranth.lib.wiring import Component, In, Out

from alula.gateware.stream.steps import BLOCK_BITS, GROUP_BITS
from alula.gateware.stream.weight_format import FORMAT_BITS, by_format
from alula.isa.formats import QUARTERS, STREAM_ORDER, BeatKind, WeightFormat

__all__ = ["MATRIX", "WeightBeats"]

MATRIX = data.StructLayout({"format": FORMAT_BITS, "blocks": BLOCK_BITS, "groups": GROUP_BITS})


class WeightBeats(Component):
    """Walks through a matrix in stream order.

    Args:
        sparse: Matrices may have a pattern.

    Members:
        matrix: The matrix that `start` begins; at least one row block and one group.
        start: Begin; the first beat's kind is there in the next cycle. May come with `next` of the
            beat before.
        next: This beat is over.
        kind: Of this beat.
        ends_block: It is the last of its row block.
        last: It is the last of the matrix.
    """

    def __init__(self, *, sparse: bool = False) -> None:
        self.sparse = bool(sparse)
        super().__init__(
            {
                "matrix": In(MATRIX),
                "start": In(1),
                "next": In(1),
                "kind": Out(BeatKind),
                "ends_block": Out(1),
                "last": Out(1),
            }
        )

    def elaborate(self, platform: object) -> Module:
        """Make the module."""
        m = Module()
        matrix = Signal(MATRIX)
        kind = Signal(BeatKind)
        number = Signal(3)
        group, block = Signal(GROUP_BITS), Signal(BLOCK_BITS)

        def quarters(kind: BeatKind) -> Signal:
            return by_format(
                m, matrix.format, lambda item: item.quarters(kind), name=kind.name.lower(),
                sparse=self.sparse,
            )  # fmt: skip

        # Quarters of the last beat of each kind that are in use; what comes next begins there.
        phases = {item: Signal(2, name=f"{item.name.lower()}_phase") for item in STREAM_ORDER[:3]}
        needs = {item: quarters(item) for item in BeatKind}
        ends = {item: phases[item] + needs[item] for item in (BeatKind.META, BeatKind.SCALE)}
        has = {item: needs[item].any() for item in needs}
        values, ends_kind, ends_group = Signal(3), Signal(), Signal()
        reached = phases[BeatKind.VALUE] + needs[BeatKind.VALUE]
        m.d.comb += [
            # As many beats as this group needs beyond the one that it begins in.
            values.eq(((reached + QUARTERS - 1) >> 2) - phases[BeatKind.VALUE].any()),
            self.kind.eq(kind),
            ends_group.eq(
                ends_kind & (kind == Mux(has[BeatKind.INDEX], BeatKind.INDEX, BeatKind.VALUE))
            ),
            self.ends_block.eq(ends_group & (group == matrix.groups - 1)),
            self.last.eq(self.ends_block & (block == matrix.blocks - 1)),
        ]
        with m.Switch(kind):
            with m.Case(BeatKind.SCALE):
                m.d.comb += ends_kind.eq(number == (needs[BeatKind.SCALE] > QUARTERS))
            with m.Case(BeatKind.META):
                m.d.comb += ends_kind.eq(1)
            with m.Case(BeatKind.VALUE):
                m.d.comb += ends_kind.eq(number == values - 1)
            with m.Case(BeatKind.INDEX):
                m.d.comb += ends_kind.eq(number == (needs[BeatKind.INDEX] >> 2) - 1)
        with m.If(self.next):
            m.d.sync += number.eq(number + 1)
            with m.If(ends_kind):
                m.d.sync += [number.eq(0), kind.eq(BeatKind.VALUE)]
                with m.If(kind == BeatKind.VALUE):
                    m.d.sync += kind.eq(BeatKind.INDEX)
                with m.Elif(
                    (kind == BeatKind.SCALE) & has[BeatKind.META] & ~phases[BeatKind.META].any()
                ):
                    m.d.sync += kind.eq(BeatKind.META)
            with m.If(ends_group):
                m.d.sync += [
                    kind.eq(BeatKind.VALUE),
                    group.eq(group + 1),
                    phases[BeatKind.VALUE].eq(reached),
                    phases[BeatKind.META].eq(ends[BeatKind.META]),
                ]
                with m.If(has[BeatKind.META] & ~ends[BeatKind.META][:2].any()):
                    m.d.sync += kind.eq(BeatKind.META)
                with m.If(self.ends_block):
                    m.d.sync += [
                        group.eq(0),
                        block.eq(block + 1),
                        phases[BeatKind.SCALE].eq(ends[BeatKind.SCALE]),
                    ]
                    with m.If(has[BeatKind.SCALE] & ~ends[BeatKind.SCALE][:2].any()):
                        m.d.sync += kind.eq(BeatKind.SCALE)
        with m.If(self.start):
            m.d.sync += [
                matrix.eq(self.matrix),
                kind.eq(self._first(m)),
                *(counter.eq(0) for counter in (number, group, block, *phases.values())),
            ]
        return m

    def _first(self, m: Module) -> Signal:
        """The kind of the first beat of the matrix to come."""

        def first(item: WeightFormat) -> int:
            scales, metas = item.scales, item.metas
            return BeatKind.SCALE if scales else BeatKind.META if metas else BeatKind.VALUE

        return by_format(m, self.matrix.format, first, name="first", sparse=self.sparse)
