"""What each beat of a weight matrix is, by counting alone."""

from __future__ import annotations

from amaranth.hdl import Module, Signal
from amaranth.lib import data
from amaranth.lib.wiring import Component, In, Out

from alula.gateware.steps import BLOCK_BITS, GROUP_BITS
from alula.gateware.weight_format import FORMAT_BITS, by_format
from alula.gateware.weight_stream import BeatKind
from alula.isa.formats import METAS_PER_BEAT, SCALES_PER_BEAT

__all__ = ["MATRIX", "WeightBeats"]

MATRIX = data.StructLayout({"format": FORMAT_BITS, "blocks": BLOCK_BITS, "groups": GROUP_BITS})


class WeightBeats(Component):
    """Walks through a matrix in stream order.

    Members:
        matrix: The matrix that `start` begins; at least one row block and one group.
        start: Begin; the first beat's kind is there in the next cycle. May come with `next` of the
            beat before.
        next: This beat is over.
        kind: Of this beat.
        ends_block: It is the last of its row block.
        last: It is the last of the matrix.
    """

    def __init__(self) -> None:
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
        scale, meta = Signal(), Signal()
        value = Signal(3)
        group, metas = Signal(GROUP_BITS), Signal(range(METAS_PER_BEAT))
        block, scales = Signal(BLOCK_BITS), Signal(range(SCALES_PER_BEAT))
        has_scales = by_format(m, matrix.format, lambda item: item.scales, name="has_scales")
        has_metas = by_format(m, matrix.format, lambda item: item.metas, name="has_metas")
        values = by_format(m, matrix.format, lambda item: item.bits // 2, name="values")
        starts_scaled = by_format(m, self.matrix.format, lambda i: i.scales, name="starts_scaled")
        starts_meta = by_format(m, self.matrix.format, lambda i: i.metas, name="starts_meta")
        ends_group = Signal()
        m.d.comb += [
            ends_group.eq(~scale & ~meta & (value == values - 1)),
            self.ends_block.eq(ends_group & (group == matrix.groups - 1)),
            self.last.eq(self.ends_block & (block == matrix.blocks - 1)),
            self.kind.eq(BeatKind.VALUE),
        ]
        with m.If(scale):
            m.d.comb += self.kind.eq(BeatKind.SCALE)
        with m.Elif(meta):
            m.d.comb += self.kind.eq(BeatKind.META)
        with m.If(self.next):
            with m.If(scale):
                m.d.sync += scale.eq(0)
            with m.Elif(meta):
                m.d.sync += meta.eq(0)
            with m.Elif(~ends_group):
                m.d.sync += value.eq(value + 1)
            with m.Else():
                m.d.sync += [
                    value.eq(0),
                    metas.eq(metas + 1),
                    meta.eq(has_metas & (metas == METAS_PER_BEAT - 1)),
                    group.eq(group + 1),
                ]
                with m.If(self.ends_block):
                    m.d.sync += [
                        group.eq(0),
                        block.eq(block + 1),
                        scales.eq(scales + 1),
                        scale.eq(has_scales & (scales == SCALES_PER_BEAT - 1)),
                    ]
        with m.If(self.start):
            m.d.sync += [
                matrix.eq(self.matrix),
                scale.eq(starts_scaled),
                meta.eq(starts_meta),
                *(counter.eq(0) for counter in (value, group, metas, block, scales)),
            ]
        return m
