"""The weight stream between LD and the MPE."""

from amaranth import Cat, Module, Signal, Value, signed
from amaranth.lib import data, enum, stream
from amaranth.lib.fifo import SyncFIFO
from amaranth.lib.wiring import Component, In, Out, connect, flipped

from alula.gateware.dequantiser import ROW_BITS
from alula.gateware.ring import Ring
from alula.gateware.steps import BLOCK_BITS, GROUP_BITS, Steps, command_layout, step_layout
from alula.gateware.weight_format import BEAT, FORMAT_BITS, by_format

__all__ = ["TAG", "WALK", "BeatKind", "WeightStream", "beat_layout", "block_layout", "ring_depths"]

LATENCY = 1
"""Cycles from a step to its block."""

TAG = data.StructLayout(
    {"mm": 1, "format": FORMAT_BITS, "blocks": BLOCK_BITS, "groups": GROUP_BITS}
)
"""An LD.W: whether MM takes its beats (otherwise MV), and their shape."""
WALK = command_layout(FORMAT_BITS)
"""How a product reads the stream: its shape, passes of each row block, and the format as tag."""


class BeatKind(enum.Enum, shape=2):
    """Which ring a beat goes to."""

    VALUE = 0
    META = 1
    SCALE = 2


def beat_layout(rows: int) -> data.StructLayout:
    """What LD pushes: a beat of a row block of so many rows."""
    return data.StructLayout({"data": ROW_BITS * rows, "kind": BeatKind})


def block_layout(rows: int) -> data.StructLayout:
    """What the MPE takes each cycle: a block, and what is known of it."""
    return data.StructLayout(
        {
            "beats": data.ArrayLayout(ROW_BITS * rows, 2),
            "phase": 2,
            "scale": data.ArrayLayout(8, rows),
            "minimum": data.ArrayLayout(signed(8), rows),
            "factor": data.ArrayLayout(16, rows),
            "step": step_layout(FORMAT_BITS),
        }
    )


def ring_depths(depth: int) -> dict[BeatKind, int]:
    """Beats of each ring of a stream of so many value beats."""
    even = depth + depth % 2
    return {
        BeatKind.VALUE: even,
        BeatKind.META: even // 8 + 2,
        BeatKind.SCALE: max(4, even // 32),
    }


class WeightStream(Component):
    """Rings of values, metas and scales, read block by block, row blocks as often as asked.

    Parameters
    ----------
    rows : int
        Rows of a block in this core, a multiple of ``channels``.
    channels : int
        Memory channels of this core.
    depth : int
        Value beats, at least 16; made even. There are an eighth as many meta beats and a 32nd as
        many scale beats, so that full rings hold one long W4 matrix.
    tags : int
        LD.Ws that can be under way.

    Members
    -------
    tag : In stream of `TAG`
        LD's, before the first beat of each LD.W.
    beat : In stream of `beat_layout`
        LD's. A beat waits while its ring is full.
    free : Out, one for each `BeatKind`
        Beats that each ring can take now.
    head : Out stream of `TAG`
        The oldest LD.W that no product has begun to take.
    walk : In stream of `WALK`
        A product that takes the head; taken together with ``head``.
    block : Out stream of `block_layout`
        The blocks of each product in order. ``beats`` and ``phase`` hold the values. ``scale`` and
        ``minimum`` of the group come with its second half, ``factor`` (bf16) with the last step of
        a pass; at other times they are what they were.
    empty : Out(1)
        No tag and no beat is held, nothing is under way.
    """

    def __init__(self, *, rows: int, channels: int = 1, depth: int, tags: int = 16) -> None:
        if channels < 1:
            raise ValueError(f"channels must be at least 1, not {channels}")
        if rows < 1 or rows % channels:
            raise ValueError(f"rows must be a multiple of channels ({channels}), not {rows}")
        if depth < 16:
            raise ValueError(f"depth must be at least 16, not {depth}")
        if tags < 1:
            raise ValueError(f"tags must be at least 1, not {tags}")
        self.rows = rows
        self.channels = channels
        self.depth = depth
        self.tags = tags
        super().__init__(
            {
                "tag": In(stream.Signature(TAG)),
                "beat": In(stream.Signature(beat_layout(rows))),
                "free": Out(range(depth + depth % 2 + 1)).array(len(BeatKind)),
                "head": Out(stream.Signature(TAG)),
                "walk": In(stream.Signature(WALK)),
                "block": Out(stream.Signature(block_layout(rows))),
                "empty": Out(1),
            }
        )

    def elaborate(self, platform: object) -> Module:
        """Make the module."""
        m = Module()
        m.submodules.tag_queue = queue = SyncFIFO(width=TAG.size, depth=self.tags)
        m.d.comb += [
            queue.w_data.eq(self.tag.payload),
            queue.w_en.eq(self.tag.valid),
            self.tag.ready.eq(queue.w_rdy),
            self.head.payload.eq(queue.r_data),
            self.head.valid.eq(queue.r_rdy),
            queue.r_en.eq(self.head.ready),
        ]

        width = ROW_BITS * self.rows
        rings = {
            kind: Ring(width=width, depth=depth, pair=kind is BeatKind.VALUE)
            for kind, depth in ring_depths(self.depth).items()
        }
        with m.Switch(self.beat.payload.kind):
            for kind, ring in rings.items():
                m.submodules[kind.name.lower()] = ring
                m.d.comb += [
                    ring.write.payload.eq(self.beat.payload.data),
                    self.free[kind.value].eq(ring.free),
                ]
                with m.Case(kind):
                    m.d.comb += [
                        ring.write.valid.eq(self.beat.valid),
                        self.beat.ready.eq(ring.write.ready),
                    ]

        m.submodules.steps = steps = Steps(tag=FORMAT_BITS)
        connect(m, flipped(self.walk), steps.command)
        step = steps.step.payload
        metas = by_format(m, step.tag, lambda item: item.metas, name="metas")
        scales = by_format(m, step.tag, lambda item: item.scales, name="scales")
        bits = by_format(m, step.tag, lambda item: item.bits, name="bits")
        takes = {
            BeatKind.VALUE: bits,
            BeatKind.META: metas & step.half,
            BeatKind.SCALE: scales & step.last,
        }
        moves, full = Signal(), Signal()
        m.d.comb += [
            moves.eq(
                steps.step.valid
                & Cat(ring.available for ring in rings.values()).all()
                & (~full | self.block.ready)
            ),
            steps.step.ready.eq(moves),
        ]
        for kind, ring in rings.items():
            m.d.comb += [
                ring.step.eq(takes[kind]),
                ring.next.eq(moves & takes[kind].any()),
                ring.keep.eq(~step.last_pass),
                ring.back.eq(step.last),
                ring.align.eq(step.last & step.last_pass & step.last_block),
            ]
        with m.If(moves):
            m.d.sync += [self.block.payload.step.eq(step), full.eq(1)]
        with m.Elif(self.block.ready):
            m.d.sync += full.eq(0)

        block = self.block.payload
        values, meta, scale = (rings[kind] for kind in BeatKind)
        m.d.comb += [
            self.block.valid.eq(full),
            block.beats.eq(values.beats),
            block.phase.eq(values.phase),
        ]
        part = width // self.channels
        rows = self.rows // self.channels
        for channel in range(self.channels):
            pair = self._quarter(meta, channel, part)
            factors = self._quarter(scale, channel, part)
            for row in range(rows):
                place = channel * rows + row
                m.d.comb += [
                    block.scale[place].eq(pair.word_select(row, 8)),
                    block.minimum[place].eq(pair.word_select(rows + row, 8)),
                    block.factor[place].eq(factors.word_select(row, 16)),
                ]
        m.d.comb += self.empty.eq(
            ~queue.r_rdy
            & Cat(ring.empty for ring in rings.values()).all()
            & ~steps.step.valid
            & steps.command.ready
            & ~full
        )
        return m

    def _quarter(self, ring: Ring, channel: int, part: int) -> Value:
        return ring.beats[0].word_select(channel, part).word_select(ring.phase, part // BEAT)
