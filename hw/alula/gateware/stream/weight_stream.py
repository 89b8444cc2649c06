"""The weight stream between LD and the MPE."""

from amaranth.hdl import Array, Cat, Module, Mux, Signal, Value
from amaranth.lib import data, stream
from amaranth.lib.wiring import Component, In, Out, connect, flipped

from alula.design import ring_sizes
from alula.gateware.hdl.fifo import RegisteredFifo
from alula.gateware.stream.ring import MAX_STEP, Ring
from alula.gateware.stream.steps import (
    BLOCK_BITS,
    GROUP_BITS,
    STEP_FLAGS,
    Steps,
    command_layout,
    step_layout,
)
from alula.gateware.stream.weight_format import FORMAT_BITS, ROW_BITS, by_format, channel_rows
from alula.isa.formats import PATTERNS, QUARTERS, BeatKind

TAGS = 16
"""LD.Ws that can be under way."""
MOST_SEGMENTS = max(item.segments for item in PATTERNS.values())
"""Parts of a row block of the sparsest pattern."""

TAG = data.StructLayout(
    {"mm": 1, "format": FORMAT_BITS, "blocks": BLOCK_BITS, "groups": GROUP_BITS}
)
"""An LD.W: whether MM takes its beats (otherwise MV), and their shape."""
REPLAY = command_layout(FORMAT_BITS)
"""How a product reads the stream: its shape, passes of each row block, and the format as tag."""


def beat_layout(rows: int) -> data.StructLayout:
    """What LD pushes: a beat of a row block of so many rows."""
    return data.StructLayout({"data": ROW_BITS * rows, "kind": BeatKind})


def block_layout(rows: int, *, sparse: bool = False) -> data.StructLayout:
    """What the MPE takes each cycle: a block, and what is known of it."""
    metas, segments = (MOST_SEGMENTS, MOST_SEGMENTS) if sparse else (2, 1)
    indices = {"index": ROW_BITS * rows, "index_phase": 2} if sparse else {}
    return data.StructLayout(
        {
            "beats": data.ArrayLayout(ROW_BITS * rows, 2),
            "phase": 2,
            "metas": data.ArrayLayout(data.ArrayLayout(8, rows), metas),
            "factors": data.ArrayLayout(data.ArrayLayout(16, rows), segments),
            "step": step_layout(FORMAT_BITS),
        }
        | indices
    )


def ring_depths(depth: int, *, sparse: bool = False) -> dict[BeatKind, int]:
    """Beats of each ring of a stream of so many value beats."""
    return {
        BeatKind[name]: beats
        for name, beats in ring_sizes.ring_depths(depth, sparse=sparse).items()
    }


class WeightStream(Component):
    """Rings of values, metas and scales, read block by block, row blocks as often as asked.

    Args:
        rows (int): Rows of a block in this core, a multiple of ``channels``.
        channels (int): Memory channels of this core.
        depth (int): Value beats, at least 16; made even. There are at least a fifth as many meta
            beats and a 32nd as many scale beats, so that a row block of any format fits the rings
            if its beats fit ``depth``. With ``sparse`` there are half as many index beats and at
            least a quarter as many meta beats.
        sparse (bool): Matrices may have a pattern.

    Members:
        tag (In stream of `TAG`): LD's, before the first beat of each LD.W.
        beat (In stream of `beat_layout`): LD's. A beat waits while its ring is full.
        free (Out, one for each `BeatKind`): Beats that each ring can take; a cycle late where some
            were read.
        head (Out stream of `TAG`): The oldest LD.W that no product has begun to take.
        replay (In stream of `REPLAY`): A product of the head, which is taken in the same cycle or
            later.
        block (Out stream of `block_layout`): The blocks of each product in order. ``beats`` and
            ``phase`` hold the values, ``index`` and ``index_phase`` their indices. ``metas`` of the
            group come with its second half: scales and mins, or the scales of each segment.
            ``factors`` (bf16) of each part come with the last step of a pass. At other times they
            are what they were.
        held (Out(1)): There is a block, whether or not it is offered. A register.
        may_end (In(1)): A block that ends a pass may be offered; it stays so until that is taken.
        may_weigh (In(1), with ``sparse``): So may one that ends a group.
        empty (Out(1)): No tag and no beat is held or offered, nothing is under way. A register.
    """

    def __init__(self, *, rows: int, channels: int = 1, depth: int, sparse: bool = False) -> None:
        self._share = channel_rows(rows, channels)
        if depth < 16:
            raise ValueError(f"depth must be at least 16, not {depth}")
        self.rows = rows
        self.channels = channels
        self.depth = depth
        self.sparse = bool(sparse)
        super().__init__(
            {
                "tag": In(stream.Signature(TAG)),
                "beat": In(stream.Signature(beat_layout(rows))),
                "free": Out(range(depth + depth % 2 + 1)).array(len(BeatKind)),
                "head": Out(stream.Signature(TAG)),
                "replay": In(stream.Signature(REPLAY)),
                "block": Out(stream.Signature(block_layout(rows, sparse=self.sparse))),
                "held": Out(1),
                "may_end": In(1),
                "empty": Out(1, init=1),
            }
            | ({"may_weigh": In(1)} if self.sparse else {})
        )

    def elaborate(self, platform: object) -> Module:
        """Make the module."""
        m = Module()
        m.submodules.tag_queue = queue = RegisteredFifo(shape=TAG, depth=TAGS)
        connect(m, flipped(self.tag), queue.items)
        connect(m, queue.taken, flipped(self.head))

        width = ROW_BITS * self.rows
        # A block of 8 bits takes two beats, and so do the factors of eight segments.
        banks = ring_sizes.ring_banks(self.depth, sparse=self.sparse)
        rings = {
            BeatKind[name]: Ring(width=width, depth=depth * count, pair=count > 1)
            for name, (depth, count) in banks.items()
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

        under_way, told = self._replay(m, rings), Signal()
        m.d.sync += [
            told.eq(self.tag.valid),
            self.empty.eq(
                ~(self.tag.valid | told | self.head.valid)
                & ~self.beat.valid
                & Cat(ring.empty for ring in rings.values()).all()
                & ~self.replay.valid
                & ~under_way
            ),
        ]
        block = self.block.payload
        values, meta, scale = (
            rings[kind] for kind in (BeatKind.VALUE, BeatKind.META, BeatKind.SCALE)
        )
        m.d.comb += [
            block.beats.eq(values.beats),
            block.phase.eq(values.phase),
        ]
        if self.sparse:
            index = rings[BeatKind.INDEX]
            m.d.comb += [block.index.eq(index.beats[0]), block.index_phase.eq(index.phase)]
        rows = self._share
        for channel in range(self.channels):
            for target, ring, bits in ((block.metas, meta, 8), (block.factors, scale, 16)):
                joined = self._channel(ring, channel)
                for number in range(len(target)):
                    piece = _piece(joined, ring.phase, bits * rows, 16 // bits, number)
                    for row in range(rows):
                        place = channel * rows + row
                        m.d.comb += target[number][place].eq(piece.word_select(row, bits))
        return m

    def _replay(self, m: Module, rings: dict[BeatKind, Ring]) -> Value:
        """Read what each step takes of each ring; each knows a step ahead what it must have.

        Return whether any product is under way.
        """
        takes = data.StructLayout({kind.name: range(MAX_STEP + 1) for kind in rings})
        # What steps take is decoded once, before a product's first one.
        tag = data.StructLayout({"format": FORMAT_BITS, "takes": takes})
        m.submodules.steps = steps = Steps(tag=tag)
        command, step = steps.command.payload, steps.step.payload
        m.d.comb += [
            steps.command.valid.eq(self.replay.valid),
            self.replay.ready.eq(steps.command.ready),
            *(
                command[name].eq(self.replay.payload[name])
                for name in ("blocks", "passes", "groups")
            ),
            command.tag.format.eq(self.replay.payload.tag),
            *(command.tag.takes[kind.name].eq(self._quarters(m, kind)) for kind in rings),
        ]
        following, now = Signal(step_layout(FORMAT_BITS)), Signal(step_layout(FORMAT_BITS))
        valid, full, moves, loads = Signal(), self.held, Signal(), Signal()
        may = Signal()  # `valid`, and all that the step takes is there
        shown = self.block.payload.step
        offers = full & (self.may_end | ~shown.last)
        if self.sparse:
            offers &= self.may_weigh | ~shown.half
        m.d.comb += [
            following.tag.eq(step.tag.format),
            *(following[name].eq(step[name]) for name in STEP_FLAGS),
            moves.eq(may & (~full | (offers & self.block.ready))),
            loads.eq(moves | ~valid),
            steps.step.ready.eq(loads),
            self.block.valid.eq(offers),
        ]
        m.d.sync += may.eq(
            Mux(loads, steps.step.valid, valid)
            & Cat(ring.available for ring in rings.values()).all()
        )
        with m.If(loads):
            m.d.sync += [now.eq(following), valid.eq(steps.step.valid)]
        with m.If(moves):
            m.d.sync += [self.block.payload.step.eq(now), full.eq(1)]
        with m.Elif(offers & self.block.ready):
            m.d.sync += full.eq(0)

        for kind, ring in rings.items():
            counts: Value = steps.step.valid
            if kind is BeatKind.META:
                counts &= step.half
            if kind is BeatKind.SCALE:
                counts &= step.last
            reads, back, align = (
                Signal(name=f"{kind.name}_{n}") for n in ("reads", "back", "align")
            )
            m.d.comb += [
                ring.following.eq(Mux(counts, step.tag.takes[kind.name], 0)),
                ring.moves.eq(loads),
                ring.next.eq(moves & reads),
                ring.keep.eq(~now.last_pass),
                ring.back.eq(back),
                ring.align.eq(align),
            ]
            over = step.last & ring.following.any()
            with m.If(loads):
                m.d.sync += [
                    ring.step.eq(ring.following),
                    reads.eq(ring.following.any()),
                    back.eq(over & ~step.last_pass),
                    align.eq(over & step.last_pass & step.last_block),
                ]
        return valid | full | steps.step.valid | ~steps.command.ready

    def _quarters(self, m: Module, kind: BeatKind) -> Signal:
        """Quarters of a kind that a step takes in which it takes any, of a product to come."""
        share = 2 if kind in (BeatKind.VALUE, BeatKind.INDEX) else 1
        return by_format(
            m,
            self.replay.payload.tag,
            lambda item: item.quarters(kind) // share,
            name=f"{kind.name}_quarters",
            sparse=self.sparse,
        )

    def _channel(self, ring: Ring, channel: int) -> Value:
        """A channel's part of the beats that a ring hands out."""
        width = ROW_BITS * self._share
        return Cat(beat.word_select(channel, width) for beat in ring.beats)


def _piece(joined: Value, phase: Value, bits: int, share: int, number: int) -> Value:
    """Piece `number` of a run that begins at a quarter, `share` pieces of `bits` bits each.

    A run of 2, 4 or 8 pieces begins at a multiple of its length.
    """
    length = 1 << number.bit_length()
    quarters = [q for q in range(QUARTERS) if q * share % length == 0]
    pieces = [joined[(q * share + number) * bits :][:bits] for q in quarters]
    return Array(pieces)[phase >> 1 if len(pieces) == 2 else phase] if pieces[1:] else pieces[0]
