"""How many beats of weights LD may ask for: those whose place in the weight stream is kept."""

from __future__ import annotations

from amaranth.hdl import Module, Mux, Signal
from amaranth.lib import stream
from amaranth.lib.wiring import Component, In, Out

from alula.gateware.hdl.axi import MAX_BURST
from alula.gateware.stream.weight_beats import MATRIX, WeightBeats
from alula.gateware.stream.weight_stream import ring_depths
from alula.isa.formats import BeatKind

__all__ = ["Room"]


class Room(Component):
    """Walks through matrices ahead of LD; keeps a place for each beat before it is asked for.

    Memory answers in order, so one beat that its ring cannot take would hold up all that LD has
    asked for behind it, vectors too. The rings of each kind of beat fill at rates that
    depend on the matrices; so a place is kept in the ring that the beat will go to, in stream
    order, one a cycle. Then what has been asked for is never more than any ring can take, no beat
    ever waits in front of its ring, and the rings may still be full to the last beat.

    Args:
        depth: Value beats of the weight stream.
        sparse: Matrices may have a pattern.

    Members:
        free: Beats that each ring can take now.
        matrix: Stream of the matrices in order, each before its beats are asked for.
        enters, kind: A beat goes into its ring now.
        asked: Weight beats that are asked for now, at most `beats`.
        beats: Beats that may be asked for; `MAX_BURST` stands for more, too.
        growing: `beats` will be more in the next cycle.
        waits: The next beat's ring is full.
    """

    def __init__(self, *, depth: int, sparse: bool = False) -> None:
        self.depth = depth
        self.sparse = bool(sparse)
        depths = ring_depths(depth, sparse=self.sparse)
        super().__init__(
            {
                "free": In(range(max(depths.values()) + 1)).array(len(BeatKind)),
                "matrix": In(stream.Signature(MATRIX)),
                "enters": In(1),
                "kind": In(BeatKind),
                "asked": In(range(MAX_BURST + 1)),
                "beats": Out(range(MAX_BURST + 1)),
                "growing": Out(1),
                "waits": Out(1),
            }
        )

    def elaborate(self, platform: object) -> Module:
        """Make the module."""
        m = Module()
        m.submodules.walk = walk = WeightBeats(sparse=self.sparse)
        active, over = Signal(), Signal()
        depths = ring_depths(self.depth, sparse=self.sparse)
        beats = Signal(range(sum(depths.values()) + 1))
        m.d.comb += [
            over.eq(self.growing & walk.last),
            self.matrix.ready.eq(~active | over),
            walk.matrix.eq(self.matrix.payload),
            walk.start.eq(self.matrix.valid & self.matrix.ready),
            walk.next.eq(self.growing),
            self.waits.eq(active & ~self.growing),
            self.beats.eq(Mux(beats > MAX_BURST, MAX_BURST, beats)),
        ]
        with m.If(walk.start):
            m.d.sync += active.eq(1)
        with m.Elif(over):
            m.d.sync += active.eq(0)
        m.d.sync += beats.eq(beats + self.growing - self.asked)
        for kind, depth in depths.items():
            kept = Signal(range(depth + 1), name=f"kept_{kind.name.lower()}")
            keeps, enters = active & (walk.kind == kind), self.enters & (self.kind == kind)
            with m.If(keeps):
                m.d.comb += self.growing.eq(self.free[kind.value] > kept)
            m.d.sync += kept.eq(kept + (keeps & self.growing) - enters)
        return m
