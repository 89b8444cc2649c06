"""Where the KV cache of a model lies in memory, for a given context."""

from dataclasses import dataclass

from alula.design import GROUP, Design
from alula.ir import Architecture
from alula.isa.formats import FORMATS


@dataclass(frozen=True)
class KvLayout:
    """Beats of the KV cache. A layer holds the K of each head, then each head's V and V scales.

    K of a head is a W8 matrix `[context, head_dim]`, V a V8 matrix `[head_dim, context]`.
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

    @classmethod
    def of(cls, architecture: Architecture, design: Design, context: int) -> "KvLayout":
        """The layout for `context` positions (rounded up to a whole group)."""
        groups = architecture.head_dim // GROUP
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
        )

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

    def key_rows(self, position: int, rows: int) -> dict[str, int]:
        """Fields of the ST.KEY that stores tokens from `position` on; a layer begins at 0."""
        return {"addr": 0, "stride": self.k_stride, **self._shape(position, rows)}

    def value_rows(self, position: int, rows: int) -> dict[str, int]:
        """Fields of the ST.VALUE that stores tokens from `position` on; a layer begins at 0."""
        place = {"addr": self.heads * self.k_stride, "stride": self.v_stride}
        place |= {"pitch": self.v_pitch, "scales": self.v_scales}
        return place | self._shape(position, rows)

    def _shape(self, position: int, rows: int) -> dict[str, int]:
        groups = self.head_dim // GROUP
        return {"heads": self.heads, "rows": rows, "groups": groups, "position": position}
