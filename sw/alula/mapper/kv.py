"""Where the KV cache of a model lies in memory, for a given context."""

from dataclasses import dataclass

from alula.design import GROUP, Design
from alula.ir import Architecture
from alula.ir.attention_blocks import BLOCK
from alula.isa.formats import FORMATS


@dataclass(frozen=True)
class Attended:
    """The most positions that a query attends to, whole groups.

    Attributes:
        kept: those before the window, or all where there is no window.
        window: those in the window; 0: there is none.
    """

    kept: int
    window: int = 0

    @classmethod
    def of(cls, architecture: Architecture, context: int) -> "Attended":
        """Those of a model with so many positions."""
        blocks = architecture.blocks
        if blocks is None:
            return cls(-(-context // GROUP) * GROUP)
        return cls(BLOCK * blocks.kept_places(context), BLOCK * blocks.local)

    @property
    def longest(self) -> int:
        """Positions of the longest product with V."""
        return max(self.kept, self.window)


@dataclass(frozen=True)
class KvLayout:
    """Beats of the KV cache. A layer holds the K of each head, then each head's V and V scales.

    K of a head is a W8 matrix `[context, head_dim]`, V a V8 matrix `[head_dim, context]`. Where a
    model attends to some blocks only, they are rows of *places* of a block each, not of positions:
    a ring of the last blocks, twice, so that every window is in one piece; a place for what is
    not kept; then those that are.
    """

    layers: int
    heads: int
    head_dim: int
    context: int
    k_stride: int
    """Beats of one head's K."""
    v_pitch: int
    """Beats of one row block of V."""
    v_blocks: int
    """Row blocks of V."""
    scale_beats: int
    """Beats of one head's V scales."""
    ring: int = 0
    """Blocks of the ring; 0: all positions are held, each where its number says."""

    @classmethod
    def of(
        cls, architecture: Architecture, design: Design, context: int, chunk: int = 1
    ) -> "KvLayout":
        """The layout for `context` positions (rounded up to a whole group).

        `chunk`: tokens that are written before the first of them attends.
        """
        groups, ring = architecture.head_dim // GROUP, 0
        if architecture.blocks is not None:
            ring = architecture.blocks.local + (BLOCK + chunk - 2) // BLOCK
            context = BLOCK * (2 * ring + 1 + architecture.blocks.kept_places(context))
        time = -(-context // GROUP)
        return cls(
            layers=architecture.layers,
            heads=architecture.kv_heads,
            head_dim=architecture.head_dim,
            context=time * GROUP,
            k_stride=FORMATS["W8"].beats(-(-time * GROUP // design.rows), groups),
            v_pitch=FORMATS["V8"].beats(1, time),
            v_blocks=-(-architecture.head_dim // design.rows),
            scale_beats=-(-2 * time * GROUP // design.bytes_per_cycle),
            ring=ring,
        )

    @property
    def discarded(self) -> int:
        """The place that takes what a head does not keep."""
        return 2 * self.ring

    @property
    def kept(self) -> int:
        """The place of the first block that a head keeps."""
        return self.discarded + 1

    @property
    def v_scales(self) -> int:
        """Beats from a head's V to its scales."""
        return self.v_blocks * self.v_pitch

    @property
    def v_stride(self) -> int:
        """Beats of one head's V and its scales."""
        return self.v_scales + self.scale_beats

    @property
    def layer_stride(self) -> int:
        """Beats of one layer's cache."""
        return self.heads * (self.k_stride + self.v_stride)

    @property
    def beats(self) -> int:
        """Beats of the whole cache."""
        return self.layers * self.layer_stride

    def key_rows(self, place: int, rows: int, heads: range | None = None) -> dict[str, int]:
        """Fields of the ST.KEY that stores rows from `place` on; a layer begins at 0."""
        heads = heads or range(self.heads)
        return {"addr": heads.start * self.k_stride, "stride": self.k_stride} | self._shape(
            place, rows, heads
        )

    def value_rows(self, place: int, rows: int, heads: range | None = None) -> dict[str, int]:
        """Fields of the ST.VALUE that stores rows from `place` on; a layer begins at 0."""
        heads = heads or range(self.heads)
        first = self.heads * self.k_stride + heads.start * self.v_stride
        fields = {"addr": first, "stride": self.v_stride}
        fields |= {"pitch": self.v_pitch, "scales": self.v_scales}
        return fields | self._shape(place, rows, heads)

    def _shape(self, place: int, rows: int, heads: range) -> dict[str, int]:
        groups = self.head_dim // GROUP
        return {"heads": len(heads), "rows": rows, "groups": groups, "position": place}
