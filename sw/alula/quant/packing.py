"""Matrices to beats of the weight stream and back, as section 3 of the contract lays them out."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from alula.isa.formats import BLOCK, FORMATS, GROUP, METAS_PER_BEAT, SCALES_PER_BEAT, WeightFormat
from alula.quant.floats import bf16_bits, from_bf16_bits
from alula.quant.matrix import QuantizedMatrix

Bytes = NDArray[np.uint8]
Beats = NDArray[np.int64]


def channel_rows(channels: int, rows: int) -> int:
    """Rows of a row block that one channel carries. ValueError if they do not divide evenly."""
    if channels < 1 or rows < 1 or rows % channels:
        raise ValueError(f"rows must be a positive multiple of channels ({channels}), not {rows}")
    return rows // channels


@dataclass(frozen=True)
class _Places:
    """Beats of a packed matrix; `values` are ``[groups of all blocks, beats of a group]``."""

    values: Beats
    metas: Beats
    scales: Beats

    @classmethod
    def of(cls, fmt: WeightFormat, blocks: int, groups: int) -> _Places:
        index = np.arange(blocks * groups)
        every = SCALES_PER_BEAT * groups
        scales = index // every + 1 if fmt.scales else 0 * index
        metas = index // METAS_PER_BEAT + 1 if fmt.metas else 0 * index
        first = scales + metas + index * fmt.beats_per_group
        return cls(
            first[:, None] + np.arange(fmt.beats_per_group),
            first[::METAS_PER_BEAT] - 1,
            first[::every] - fmt.metas - 1,
        )


def pack(matrix: QuantizedMatrix, channels: int, rows: int) -> Bytes:
    """The beats of a matrix, packed.

    Args:
        matrix: of N rows and K inputs.
        channels: memory channels; channel c owns rows from ``c * rows / channels`` of a row block.
        rows: R, the rows of a row block; N is padded to it with zeros.

    Returns:
        uint8 ``[beats, 8 * rows]``, C-contiguous, `WeightFormat.beats` of them.

    Raises:
        ValueError: `rows` is not a multiple of `channels`.
    """
    share = channel_rows(channels, rows)
    fmt = FORMATS[matrix.format]
    blocks, groups = -(-matrix.shape[0] // rows), matrix.groups
    places = _Places.of(fmt, blocks, groups)
    beats = np.zeros((fmt.beats(blocks, groups), channels, 8 * share), np.uint8)
    values = _padded(_row_bytes(matrix), blocks * rows)
    beats[places.values] = _value_beats(fmt, values, channels, share, groups)
    if fmt.scales:
        c = _padded(bf16_bits(matrix.c), len(places.scales) * SCALES_PER_BEAT * rows)
        c = c.reshape(-1, SCALES_PER_BEAT, channels, share).swapaxes(1, 2)
        beats[places.scales] = _as_bytes(c).reshape(-1, channels, 8 * share)
    if matrix.s is not None and matrix.m is not None:
        both = np.stack(
            [_padded(part.view(np.uint8), blocks * rows) for part in (matrix.s, matrix.m)]
        )
        both = both.reshape(2, blocks, channels, share, groups).transpose(1, 4, 2, 0, 3)
        both = both.reshape(blocks * groups, channels, 2 * share)
        both = _padded(both, len(places.metas) * METAS_PER_BEAT)
        both = both.reshape(-1, METAS_PER_BEAT, channels, 2 * share).swapaxes(1, 2)
        beats[places.metas] = both.reshape(-1, channels, 8 * share)
    return beats.reshape(len(beats), 8 * rows)


def unpack(
    beats: Bytes, fmt: str, shape: tuple[int, int], channels: int, rows: int
) -> QuantizedMatrix:
    """The matrix in packed beats; the inverse of `pack`.

    Args:
        beats: uint8 ``[beats, 8 * rows]``.
        fmt: a name of `FORMATS`.
        shape: ``(N, K)`` before padding.
        channels: as given to `pack`.
        rows: as given to `pack`.

    Raises:
        ValueError: The beats are not as many, or as wide, as such a matrix takes.
    """
    share = channel_rows(channels, rows)
    item = FORMATS[fmt]
    blocks, groups = -(-shape[0] // rows), -(-shape[1] // GROUP)
    expected = (item.beats(blocks, groups), 8 * rows)
    if beats.shape != expected or beats.dtype != np.uint8:
        raise ValueError(f"beats must be uint8 {expected}, not {beats.dtype} {beats.shape}")
    places = _Places.of(item, blocks, groups)
    beats = beats.reshape(-1, channels, 8 * share)
    values = _row_values(item, beats[places.values], blocks, groups)[: shape[0]]
    c = np.ones(shape[0], np.float32)
    if item.scales:
        bits = _as_bytes(beats[places.scales]).view("<u2")
        bits = bits.reshape(-1, channels, SCALES_PER_BEAT, share).swapaxes(1, 2)
        c = from_bf16_bits(bits.reshape(-1)[: shape[0]])
    if not item.metas:
        return QuantizedMatrix(fmt, shape, values.view(np.int8), c)
    q = np.stack((values & 15, values >> 4), axis=-1).reshape(shape[0], groups * GROUP)
    both = beats[places.metas].reshape(-1, channels, METAS_PER_BEAT, 2 * share).swapaxes(1, 2)
    both = both.reshape(-1, channels, 2, share)[: blocks * groups]
    both = both.reshape(blocks, groups, channels, 2, share).transpose(3, 0, 2, 4, 1)
    s, m = both.reshape(2, blocks * rows, groups)[:, : shape[0]]
    return QuantizedMatrix(fmt, shape, q, c, s.copy(), m.copy().view(np.int8))


def _row_bytes(matrix: QuantizedMatrix) -> Bytes:
    """Each row's values as the bytes of one bit string, ``[N, K32 * bits / 8]``."""
    values = matrix.q.view(np.uint8)
    if FORMATS[matrix.format].bits == 8:
        return values
    return np.bitwise_or(values[:, 0::2], values[:, 1::2] << np.uint8(4), dtype=np.uint8)


def _value_beats(
    fmt: WeightFormat, row_bytes: Bytes, channels: int, share: int, groups: int
) -> Bytes:
    """Bytes of rows to ``[blocks * groups, beats of a group, channels, 8 * share]``."""
    words = fmt.bits * BLOCK // 64
    runs = np.ascontiguousarray(row_bytes).view(np.uint64)
    runs = runs.reshape(-1, channels, share, groups, 2, words).transpose(0, 3, 4, 1, 2, 5)
    beats = _as_bytes(runs).reshape(-1, 2, channels, words, 8 * share).swapaxes(2, 3)
    return beats.reshape(-1, fmt.beats_per_group, channels, 8 * share)


def _row_values(fmt: WeightFormat, beats: Bytes, blocks: int, groups: int) -> Bytes:
    """The inverse of `_value_beats`: ``[blocks * R, K32 * bits / 8]``."""
    channels, width = beats.shape[-2:]
    words = fmt.bits * BLOCK // 64
    runs = beats.reshape(-1, 2, words, channels, width).swapaxes(2, 3)
    runs = _as_bytes(runs).view(np.uint64)
    runs = runs.reshape(blocks, groups, 2, channels, width // 8, words).transpose(0, 3, 4, 1, 2, 5)
    return _as_bytes(runs).reshape(blocks * channels * (width // 8), -1)


def _padded(array: NDArray, length: int) -> NDArray:
    if len(array) == length:
        return array
    return np.concatenate((array, np.zeros((length - len(array), *array.shape[1:]), array.dtype)))


def _as_bytes(array: NDArray) -> Bytes:
    return np.ascontiguousarray(array).reshape(-1).view(np.uint8)
