"""Where the instructions that append to a KV cache put their bytes."""

from functools import lru_cache

import numpy as np

from alula.isa.kv import Places, key_places, value_places

__all__ = ["kv_places"]


@lru_cache(maxsize=64)
def _head(
    width: int, lane: int, position: int, rows: int, groups: int, pitch: int | None, scales: int
) -> Places:
    """Of one head, which is the same in each layer: [token, byte]."""
    positions = position + np.arange(rows)
    if pitch is None:
        return key_places(positions, groups, width=width, lane=lane)
    return value_places(positions, groups, pitch, scales, width=width, lane=lane)


def kv_places(
    width: int,
    lane: int,
    *,
    addr: int,
    stride: int,
    heads: int,
    rows: int,
    groups: int,
    position: int,
    pitch: int | None = None,
    scales: int = 0,
    src: int = 0,
) -> Places:
    """Bytes of memory that ST.K or, with a `pitch`, ST.T writes, by its fields.

    int64 [row of a token and head, its values and the two bytes of its scale]; `width` bytes of a
    beat, `lane` of a channel's part of it.
    """
    del src
    starts = (addr + stride * np.arange(heads)) * width
    head = _head(width, lane, position, rows, groups, pitch, scales)
    return (head[:, None] + starts[:, None]).reshape(rows * heads, -1)
