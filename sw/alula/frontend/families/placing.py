"""Where a family's file has each canonical tensor, and the way over."""

from dataclasses import dataclass

import numpy as np

from alula.frontend.binding import (
    Shape,
    TensorSource,
    constant,
    more,
    reordered,
    rows,
    same,
    times,
    transposed,
)
from alula.frontend.families.family import Family
from alula.frontend.families.reading import Reading
from alula.ir.architecture import PROJECTIONS


@dataclass(frozen=True)
class Places:
    """The places of canonical tensors in one file.

    Args:
        family: How the file is laid out.
        reading: What its configuration says.
        prefix: In front of every name but the head's.
        embedding: The name of the embedding's table.
        head: The name of the head's matrix.
    """

    family: Family
    reading: Reading
    prefix: str
    embedding: str
    head: str

    def place(self, name: str, shape: Shape) -> TensorSource:
        """The piece of the file that a canonical tensor is made of."""
        scales = self.reading.scales
        module, part = name.rsplit(".", 1)
        if name == "embed.weight":
            return times(same(self.embedding, shape), scales.embedding)
        if name == "lm_head.weight":
            return same(self.head, shape)
        if name == "embed.position":
            return self._positions(shape)
        if module == "final_norm":
            tied = self.reading.architecture.tied_head
            norm = self._norm(f"{self.prefix}{self.family.names[module]}", part, shape)
            return times(norm, scales.logits / (scales.embedding if tied else 1.0))
        _, layer, module = module.split(".", 2)
        stored = f"{self.prefix}{self.family.layers}.{layer}.{self.family.names[module]}"
        if module in ("attn_norm", "mlp_norm"):
            return self._norm(stored, part, shape)
        if module in ("attn_post_norm", "mlp_post_norm"):
            return times(self._norm(stored, part, shape), scales.branches)
        if module in ("attn.q_norm", "attn.k_norm"):
            return self._turned(same(f"{stored}.{part}", shape), 1, gain=True)
        return self._projection(module, f"{stored}.{part}", shape)

    def _positions(self, shape: Shape) -> TensorSource:
        start = self.family.position_offset
        table = f"{self.prefix}{self.family.positions}.weight"
        whole = same(table, (shape[0] + start, *shape[1:]))
        return rows(whole, start, start + shape[0])

    def _norm(self, stored: str, part: str, shape: Shape) -> TensorSource:
        norm = self.family.norm
        if part not in norm.stored:
            return constant(shape, 1.0 if part == "weight" else 0.0)
        piece = same(f"{stored}.{part}", shape)
        return more(piece, 1.0) if norm.plus_one and part == "weight" else piece

    def _projection(self, module: str, stored: str, shape: Shape) -> TensorSource:
        architecture, names = self.reading.architecture, self.family.names
        together = [
            one
            for one in PROJECTIONS
            if one in architecture.projections and names[one] == names[module]
        ]
        sizes = [architecture.projections[one][0] for one in together]
        start = sum(sizes[: together.index(module)])
        convert = transposed if self.family.transposed and len(shape) == 2 else same
        piece = convert(stored, (sum(sizes), *shape[1:]))
        if len(together) > 1:
            piece = rows(piece, start, start + shape[0])
        if module in ("attn.o", "mlp.down") and not architecture.post_norms:
            return times(piece, self.reading.scales.branches)
        if module == "attn.q":
            return self._turned(piece, architecture.heads, gain=not architecture.qk_norm)
        if module == "attn.k":
            return self._turned(piece, architecture.kv_heads, gain=not architecture.qk_norm)
        return piece

    def _turned(self, piece: TensorSource, heads: int, *, gain: bool) -> TensorSource:
        """Rows of heads in canonical order; a gain on a part of a head goes into its rows."""
        rotation, head_dim = self.reading.rotation, self.reading.architecture.head_dim
        if rotation is None:
            return piece
        if gain and rotation.gain != 1 and rotation.rotated < head_dim:
            gains = np.ones(head_dim, np.float32)
            gains[: rotation.rotated] = rotation.gain
            piece = times(piece, np.tile(gains, heads))
        return piece if rotation.order is None else reordered(piece, heads, rotation.order)
