"""Which positions queries attend to, as masks of torch."""

import torch
from torch import Tensor

from alula.ir.attention_blocks import BLOCK, AttentionBlocks


def attended(blocks: AttentionBlocks | None, seen: Tensor, positions: int) -> list[Tensor]:
    """Masks of the first `positions` for queries that may see ``seen`` of them each.

    Args:
        blocks: which blocks they attend to; None: all that they see, which is their window then.
        seen: int ``[queries]``: positions up to a query's own.
        positions: columns of the masks.

    Returns:
        The window, bool ``[1, queries, positions]``; where there are `blocks` also what each KV
        head keeps of those before it, ``[kv_heads, queries, positions]``. No position is in both.
    """
    place = torch.arange(positions, device=seen.device)
    window = (place < seen[:, None])[None]
    if blocks is None:
        return [window]
    block = place // BLOCK
    start = ((seen - 1) // BLOCK + 1 - blocks.local).clamp(min=0)[:, None]
    heads = []
    for stride, offset in zip(blocks.strides, blocks.offsets, strict=True):
        kept = block < blocks.sinks
        heads.append(kept | (block % stride == offset) if stride else kept)
    before = block < start
    return [window & ~before, before & torch.stack(heads)[:, None]]
