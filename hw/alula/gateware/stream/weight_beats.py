"""What each beat of a weight matrix is, by counting alone."""

from collections.abc import Callable

from amaranth.hdl import Module, Mux, Signal, Value
from amaranth.lib import data, stream
from amaranth.lib.wiring import Component, In, Out

from alula.gateware.stream.steps import BLOCK_BITS, GROUP_BITS
from alula.gateware.stream.weight_format import FORMAT_BITS, by_format
from alula.isa.formats import QUARTERS, BeatKind, WeightFormat

MATRIX = data.StructLayout({"format": FORMAT_BITS, "blocks": BLOCK_BITS, "groups": GROUP_BITS})
"""A matrix; at least one row block and one group."""
WEIGHT_BEAT = data.StructLayout({"kind": BeatKind, "ends_block": 1, "last": 1})
"""A beat: its kind, and whether it is the last of its row block and of the matrix."""


def _scale_left(item: WeightFormat) -> int:
    return int(item.quarters(BeatKind.SCALE) > QUARTERS)


def _value_beats(item: WeightFormat, group: int) -> int:
    """Value beats that begin with this group: not the one that it shares with the group before."""
    first, end = (item.quarters(BeatKind.VALUE) * number for number in (group, group + 1))
    return -(-end // QUARTERS) - -(-first // QUARTERS)


_DECODED: dict[str, Callable[[WeightFormat], int]] = {
    "first": lambda item: (
        BeatKind.SCALE if item.scales else BeatKind.META if item.metas else BeatKind.VALUE
    ),
    "first_left": lambda item: (
        _scale_left(item) if item.scales else 0 if item.metas else _value_beats(item, 0) - 1
    ),
    "even_left": lambda item: _value_beats(item, 0) - 1,
    "odd_left": lambda item: _value_beats(item, 1) - 1,
    "scale_left": lambda item: _scale_left(item),
    "index_left": lambda item: max(0, item.quarters(BeatKind.INDEX) // QUARTERS - 1),
    "scales": lambda item: item.quarters(BeatKind.SCALE) % QUARTERS,
    "metas": lambda item: item.quarters(BeatKind.META) % QUARTERS,
    "scaled": lambda item: item.scales,
    "metad": lambda item: item.metas,
    "indexed": lambda item: item.quarters(BeatKind.INDEX) > 0,
}
"""What is decoded of a format once: the first kind; beats of each kind less one; how far scales
and metas move on within a beat, in quarters; which kinds there are.

Values of two groups fill whole beats in all formats, so a group's are those of an even or an odd
one.
"""


class WeightBeats(Component):
    """Walks through matrices in stream order, a beat each cycle, without a pause between them.

    Args:
        sparse: Matrices may have a pattern.

    Members:
        matrix: Stream of `MATRIX`; one is taken ahead.
        beat: Stream of `WEIGHT_BEAT`. The first follows its matrix after two cycles.
    """

    def __init__(self, *, sparse: bool = False) -> None:
        self.sparse = bool(sparse)
        super().__init__(
            {"matrix": In(stream.Signature(MATRIX)), "beat": Out(stream.Signature(WEIGHT_BEAT))}
        )

    def elaborate(self, platform: object) -> Module:
        """Make the module."""
        m = Module()
        beat = self.beat.payload
        active, advances, starts, waiting = _signals("active", "advances", "starts", "waiting")
        coming = self._decode(m, waiting, starts)
        now = Signal.like(coming)
        # `final`: no kind of the group follows. A counter's last value is registered.
        left = Signal.like(now.first_left)
        ends_kind, final, fresh = _signals("ends_kind", "final", "fresh")
        last_group, last_block, last_of_all = _signals("last_group", "last_block", "last_of_all")
        ends_group = ends_kind & final
        m.d.comb += [
            self.beat.valid.eq(active),
            beat.ends_block.eq(ends_group & last_group),
            beat.last.eq(ends_group & last_of_all),
            advances.eq(active & self.beat.ready),
            starts.eq(waiting & (~active | (advances & beat.last))),
            # What is loaded is chosen by registers, whether or not it is there; that a beat is
            # taken comes late.
            fresh.eq(~active | beat.last),
        ]
        kind, kind_left = self._follow(m, now, coming, ends_group, active, fresh)
        with m.If(~active | (advances & ends_kind)):
            indexed = Mux(fresh, coming.indexed, now.indexed)
            m.d.sync += [
                beat.kind.eq(kind),
                left.eq(kind_left),
                ends_kind.eq(kind_left == 0),
                final.eq((kind == BeatKind.INDEX) | ((kind == BeatKind.VALUE) & ~indexed)),
            ]
        with m.Elif(advances):
            m.d.sync += [left.eq(left - 1), ends_kind.eq(left == 1)]
        groups_left, blocks_left = Signal(GROUP_BITS), Signal(BLOCK_BITS)
        with m.If(~active | (advances & ends_group)):
            with m.If(fresh):
                m.d.sync += [
                    now.eq(coming),
                    groups_left.eq(coming.groups),
                    last_group.eq(coming.one_groups),
                    blocks_left.eq(coming.blocks),
                    last_block.eq(coming.one_blocks),
                    last_of_all.eq(waiting & coming.one_groups & coming.one_blocks),
                ]
            with m.Elif(last_group):
                m.d.sync += [
                    groups_left.eq(now.groups),
                    last_group.eq(now.one_groups),
                    blocks_left.eq(blocks_left - 1),
                    last_block.eq(blocks_left == 2),
                    last_of_all.eq(now.one_groups & (blocks_left == 2)),
                ]
            with m.Else():
                m.d.sync += [
                    groups_left.eq(groups_left - 1),
                    last_group.eq(groups_left == 2),
                    last_of_all.eq((groups_left == 2) & last_block),
                ]
        with m.If(starts):
            m.d.sync += active.eq(1)
        with m.Elif(advances & beat.last):
            m.d.sync += active.eq(0)
        return m

    def _decode(self, m: Module, waiting: Signal, starts: Signal) -> data.View:
        """Take the next matrix. Return what is decoded of it."""
        matrix = self.matrix.payload
        decoded = {
            name: by_format(
                m, matrix.format, lambda item, find=find: int(find(item)), name=name,
                sparse=self.sparse,
            )
            for name, find in _DECODED.items()
        }  # fmt: skip
        decoded |= {"groups": matrix.groups, "one_groups": matrix.groups == 1}
        decoded |= {"blocks": matrix.blocks, "one_blocks": matrix.blocks == 1}
        layout = data.StructLayout({name: len(value) for name, value in decoded.items()})
        coming = Signal(layout, reset_less=True)
        m.d.comb += self.matrix.ready.eq(~waiting | starts)
        with m.If(self.matrix.ready):
            m.d.sync += waiting.eq(self.matrix.valid)
            m.d.sync += [coming[name].eq(value) for name, value in decoded.items()]
        return coming

    def _follow(
        self, m: Module, now: data.View, coming: data.View, ends_group: Value, active: Value,
        fresh: Value,
    ) -> tuple[Signal, Signal]:  # fmt: skip
        """Return the kind that follows the one at hand, and its beats less one."""
        beat, odd, meta_now = self.beat.payload, Signal(), Signal()
        kind, left = Signal(BeatKind, name="next_kind"), Signal.like(now.first_left)
        advances = self.beat.valid & self.beat.ready
        moves, turns = (~active | (advances & ends) for ends in (ends_group, beat.ends_block))
        meta_next = _due(m, moves, fresh, *((of.metad, of.metas) for of in (coming, now)))
        scale_next = _due(m, turns, fresh, *((of.scaled, of.scales) for of in (coming, now)))
        with m.If(moves):
            m.d.sync += [
                odd.eq(Mux(fresh, 0, ~odd)),
                meta_now.eq(Mux(fresh, coming.metad, meta_next)),
            ]
        with m.If(fresh):
            m.d.comb += kind.eq(coming.first)
        with m.Elif(ends_group):
            m.d.comb += kind.eq(Mux(meta_next, BeatKind.META, BeatKind.VALUE))
            with m.If(beat.ends_block & scale_next):
                m.d.comb += kind.eq(BeatKind.SCALE)
        with m.Else():
            m.d.comb += kind.eq(Mux(beat.kind == BeatKind.VALUE, BeatKind.INDEX, BeatKind.VALUE))
            with m.If((beat.kind == BeatKind.SCALE) & meta_now):
                m.d.comb += kind.eq(BeatKind.META)
        with m.Switch(kind):
            with m.Case(BeatKind.SCALE):
                m.d.comb += left.eq(now.scale_left)
            with m.Case(BeatKind.VALUE):
                m.d.comb += left.eq(Mux(odd ^ ends_group, now.odd_left, now.even_left))
            with m.Case(BeatKind.INDEX):
                m.d.comb += left.eq(now.index_left)
        with m.If(fresh):
            m.d.comb += left.eq(coming.first_left)
        return kind, left


def _signals(*names: str) -> tuple[Signal, ...]:
    return tuple(Signal(name=name) for name in names)


def _due(
    m: Module, moves: Value, fresh: Value, coming: tuple[Value, Value], now: tuple[Value, Value]
) -> Signal:
    """Return whether a beat of a kind comes before the group or block after the one at hand.

    It does where the one at hand uses the last quarter of the beat before. A pair says whether a
    matrix has the kind, and by how many quarters it moves on.
    """
    due, phase = Signal(), Signal(range(QUARTERS))
    reached, has = Signal.like(phase), Mux(fresh, coming[0], now[0])
    m.d.comb += reached.eq(Mux(fresh, coming[1], phase + now[1]))
    with m.If(moves):
        m.d.sync += [phase.eq(reached), due.eq(has & (reached == 0))]
    return due
