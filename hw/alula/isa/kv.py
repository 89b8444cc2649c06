"""Keys and values: rows of staging, and where their bytes lie in memory.

A row is what one KV head has of one token: int8 values, up to a whole group, and a bf16 scale.
K of a head is a growing W8 matrix, row = position. V is a growing V8 matrix, row = element of the
head, input = position, whose row blocks lie a fixed pitch apart; its scales are a flat vector.
"""

from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from alula.design import BLOCK, GROUP
from alula.isa.formats import FORMATS, BeatKind

KV_GROUPS = 15
"""Groups of the longest row."""
STAGING_VALUES = GROUP * KV_GROUPS
"""Its values."""
_SCALE = np.arange(2)
"""The bytes of a scale."""

Places = NDArray[np.int64]
"""Bytes from the start of a head's K or V: int64 [token, value, then the two of the scale]."""


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
    """Bytes of memory that ST.KEY or, with a `pitch`, ST.VALUE writes, by its fields.

    int64 [row of a token and head, its values and the two bytes of its scale]; `width` bytes of a
    beat, `lane` of a channel's part of it.
    """
    del src
    starts = (addr + stride * np.arange(heads)) * width
    head = _head(width, lane, position, rows, groups, pitch, scales)
    return (head[:, None] + starts[:, None]).reshape(rows * heads, head.shape[1])


@lru_cache(maxsize=64)
def _head(
    width: int, lane: int, position: int, rows: int, groups: int, pitch: int | None, scales: int
) -> Places:
    """Of one head, which is the same in each layer."""
    positions = position + np.arange(rows)
    if pitch is None:
        return _keys(positions, groups, width, lane)
    return _values(positions, groups, pitch, scales, width, lane)


def row_bytes(groups: int) -> int:
    """Bytes of a row of so many groups."""
    return GROUP * groups + 2


def _bytes(beat: Any, row: Any, column: Any, width: int, lane: int) -> Any:
    """The byte of `column` in a row of 8 bits, whose run of 16 columns begins with a beat."""
    rows, share = width // 8, lane // 8
    over, byte = np.divmod(BLOCK * (row % share) + column % BLOCK, lane)
    return (beat + over) * width + row % rows // share * lane + byte


def _runs(fmt: str, block: Any, column: Any, groups: int) -> Any:
    """The beat in which a packed matrix has a row block's run of 16 columns."""
    group, rest = np.divmod(column, GROUP)
    beat, _ = FORMATS[fmt].start(BeatKind.VALUE, block, group, groups)
    return beat + rest // BLOCK * (BLOCK // 8)


def _keys(positions: Places, groups: int, width: int, lane: int) -> Places:
    """Where the K rows of positions lie."""
    rows, share = width // 8, lane // 8
    row, column = positions[:, None], np.arange(GROUP * groups)
    block: Any = row // rows
    values = _bytes(_runs("W8", block, column, groups), row, column, width, lane)
    beat, quarter = FORMATS["W8"].start(BeatKind.SCALE, block, 0, groups)
    scale = beat * width + row % rows // share * lane + 2 * (quarter * share + row % share)
    return np.hstack((values, scale + _SCALE))


def _values(
    positions: Places, groups: int, pitch: int, scales: int, width: int, lane: int
) -> Places:
    """Where the V columns of positions lie; `pitch` and `scales` count beats."""
    row, column = np.arange(GROUP * groups), positions[:, None]
    beat = row // (width // 8) * pitch + _runs("V8", 0, column, 1)
    values = _bytes(beat, row, column, width, lane)
    return np.hstack((values, scales * width + 2 * column + _SCALE))
