"""How many beats of weights LD may ask for: those whose place in the weight stream is kept."""

from amaranth.hdl import Module, Mux, Signal, Value
from amaranth.lib import stream
from amaranth.lib.wiring import Component, In, Out, connect, flipped

from alula.gateware.hdl.axi import MAX_BURST
from alula.gateware.hdl.delay import delayed
from alula.gateware.stream.weight_beats import MATRIX, WeightBeats
from alula.gateware.stream.weight_stream import ring_depths
from alula.isa.formats import BeatKind

LATENCY = 2
"""Cycles from `asked` to `beats`."""
_SETTLE = 3
"""Cycles that a beat is counted twice, as kept and as held, until `free` surely tells of it."""


class CreditCounter(Component):
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
        free: Beats that each ring can take; may tell of a beat two cycles late.
        matrix: Stream of the matrices in order, each before its beats are asked for.
        enters, kind: A beat goes into its ring now.
        asked: Weight beats that are asked for now, at most `beats` less what was asked for in the
            cycles before that `beats` does not tell of yet.
        beats: Beats that may be asked for; `MAX_BURST` means at least so many.
        growing: `beats` will be more in `LATENCY` cycles.
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
        m.submodules.order = order = WeightBeats(sparse=self.sparse)
        connect(m, flipped(self.matrix), order.matrix)
        depths = ring_depths(self.depth, sparse=self.sparse)
        beats = Signal(range(sum(depths.values()) + 1))
        keeps, full = Signal(), Signal()
        m.d.comb += [
            order.beat.ready.eq(keeps),
            keeps.eq(order.beat.valid & ~full),
        ]
        m.d.sync += [
            self.growing.eq(keeps),
            beats.eq(beats + self.growing - self.asked),
            self.beats.eq(Mux(beats > MAX_BURST, MAX_BURST, beats)),
            self.waits.eq(order.beat.valid & full),
        ]
        with m.Switch(order.beat.payload.kind):
            for kind, depth in depths.items():
                places = self._places(m, kind, depth, keeps & (order.beat.payload.kind == kind))
                with m.Case(kind):
                    m.d.comb += full.eq(~places)
        return m

    def _places(self, m: Module, kind: BeatKind, depth: int, keeps: Value) -> Value:
        """Return whether a ring has a place that is not kept.

        Places are counted two cycles behind: whoever keeps one just after others needs more.
        """
        kept = Signal(range(depth + 1), name=f"kept_{kind.name.lower()}")
        free, spare = Signal(range(depth + 1)), Signal(range(-depth, depth + 1))
        enters = delayed(
            m, self.enters & (self.kind == kind), _SETTLE, name=f"enters_{kind.name.lower()}"
        )[-1]
        _, last, before = delayed(m, keeps, 2, name=f"keeps_{kind.name.lower()}")
        one, two, three = (Signal(name=name) for name in ("one", "two", "three"))
        m.d.comb += spare.eq(free - kept)
        m.d.sync += [
            free.eq(self.free[kind.value]),
            kept.eq(kept + last - enters),
            one.eq(spare > 0),
            two.eq(spare > 1),
            three.eq(spare > 2),
        ]
        return three | (two & ~(last & before)) | (one & ~(last | before))
