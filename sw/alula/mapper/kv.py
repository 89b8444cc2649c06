"""Where the KV cache of a model lies in memory, for a given context."""

from __future__ import annotations

from dataclasses import dataclass

from alula.design import Design
from alula.ir import Architecture
from alula.isa.formats import FORMATS, GROUP
from alula.quant import KvLayerLayout


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
    def of(cls, architecture: Architecture, design: Design, context: int) -> KvLayout:
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

    def k(self, layer: int, head: int) -> int:
        """First beat of a head's K, from the start of the cache."""
        return layer * self.layer_stride + head * self.k_stride

    def v(self, layer: int, head: int) -> int:
        """First beat of a head's V, from the start of the cache."""
        return layer * self.layer_stride + self.heads * self.k_stride + head * self.v_stride

    def layer(self, channels: int) -> KvLayerLayout:
        """How any layer lies in its `layer_stride` beats, behind so many memory channels."""
        return KvLayerLayout(
            channels=channels,
            heads=self.heads,
            head_dim=self.head_dim,
            key=self.k(0, 0),
            key_stride=self.k_stride,
            value=self.v(0, 0),
            value_stride=self.v_stride,
            pitch=self.v_pitch,
            scales=self.v_scales,
        )
