"""KV rows in and out of a device's memory, where ST.K and ST.T put them.

A region is an array of beats, uint8 ``[beats, 8 * R]``, C-contiguous; addresses count its beats. A
head's K is a growing W8 matrix (row = position). A head's V is a growing V8 matrix (row = element
of the head, input = position) with a fixed pitch of row blocks, its scales are a flat bf16 vector.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import DTypeLike, NDArray

from alula.isa.formats import BLOCK, FORMATS, GROUP, SCALES_PER_BEAT
from alula.quant.floats import FloatArray, bf16_bits, from_bf16_bits
from alula.quant.packing import Bytes, channel_rows

Int8 = NDArray[np.int8]
Index = tuple[NDArray[np.int64], NDArray[np.int64]]

_WORD = 8
_BEATS_PER_GROUP = FORMATS["V8"].beats(1, 1)


@dataclass(frozen=True)
class KvLayerLayout:
    """Where one layer's K and V lie in a region.

    Attributes:
        channels: memory channels, a divisor of R.
        heads: KV heads.
        head_dim: elements of a head.
        key: address of head 0's K, beats.
        key_stride: beats from one head's K to the next.
        value: address of head 0's V, beats.
        value_stride: beats from one head's V to the next.
        pitch: beats from one row block of V to the next, four for every 32 positions.
        scales: beats from a head's V to its scales.
    """

    channels: int
    heads: int
    head_dim: int
    key: int
    key_stride: int
    value: int
    value_stride: int
    pitch: int
    scales: int

    @property
    def groups(self) -> int:
        """Groups of 32 in a head."""
        return -(-self.head_dim // GROUP)


def pack_k(
    region: Bytes, layout: KvLayerLayout, position: int, keys: Int8, scales: FloatArray
) -> None:
    """Write the K of tokens at `position` and after.

    Args:
        region: changed in place.
        layout: where K lies.
        position: of the first token.
        keys: int8 ``[tokens, heads, head_dim]``.
        scales: float32 ``[tokens, heads]``, bf16 values.

    Raises:
        ValueError: A shape differs, the region is too small or is not an array of beats.
    """
    tokens = _check(region, layout, position, keys, scales)
    padded = np.zeros((tokens, layout.heads, layout.groups * GROUP), np.int8)
    padded[..., : layout.head_dim] = keys
    positions = position + np.arange(tokens)
    _put(region, _key_words(region, layout, positions), padded.view(np.uint64))
    _put(region, _key_scales(region, layout, positions), bf16_bits(scales))


def unpack_k(
    region: Bytes, layout: KvLayerLayout, position: int, tokens: int
) -> tuple[Int8, FloatArray]:
    """The K of `tokens` tokens from `position` on; the inverse of `pack_k`."""
    _check_region(region, layout)
    positions = position + np.arange(tokens)
    padded = _get(region, _key_words(region, layout, positions), np.uint64).view(np.int8)
    scales = _get(region, _key_scales(region, layout, positions), "<u2")
    return np.ascontiguousarray(padded[..., : layout.head_dim]), from_bf16_bits(scales)


def pack_v(
    region: Bytes, layout: KvLayerLayout, position: int, values: Int8, scales: FloatArray
) -> None:
    """Write the V of tokens at `position` and after; arguments and errors as in `pack_k`."""
    tokens = _check(region, layout, position, values, scales)
    positions = position + np.arange(tokens)
    _put(region, _value_bytes(region, layout, positions), values.view(np.uint8))
    _put(region, _value_scales(region, layout, positions), bf16_bits(scales))


def unpack_v(
    region: Bytes, layout: KvLayerLayout, position: int, tokens: int
) -> tuple[Int8, FloatArray]:
    """The V of `tokens` tokens from `position` on; the inverse of `pack_v`."""
    _check_region(region, layout)
    positions = position + np.arange(tokens)
    values = _get(region, _value_bytes(region, layout, positions), np.uint8).view(np.int8)
    scales = _get(region, _value_scales(region, layout, positions), "<u2")
    return values, from_bf16_bits(scales)


def _check_region(region: Bytes, layout: KvLayerLayout) -> None:
    if region.dtype != np.uint8 or region.ndim != 2 or not region.flags.c_contiguous:
        raise ValueError(
            f"region must be contiguous beats of uint8, not {region.dtype} {region.shape}"
        )
    channel_rows(layout.channels, region.shape[1] // _WORD)


def _check(
    region: Bytes, layout: KvLayerLayout, position: int, numbers: Int8, scales: FloatArray
) -> int:
    _check_region(region, layout)
    if position < 0:
        raise ValueError(f"position must not be negative, not {position}")
    tokens = len(numbers)
    for name, array, dtype, shape in (
        ("rows", numbers, np.int8, (tokens, layout.heads, layout.head_dim)),
        ("scales", scales, np.float32, (tokens, layout.heads)),
    ):
        if array.dtype != dtype or array.shape != shape:
            raise ValueError(
                f"{name} must be {np.dtype(dtype)} {shape}, not {array.dtype} {array.shape}"
            )
    return tokens


def _put(region: Bytes, index: Index, numbers: NDArray) -> None:
    """Write numbers of any width; the index counts in their width."""
    region.view(numbers.dtype)[_within(region, index)] = numbers


def _get(region: Bytes, index: Index, dtype: DTypeLike) -> NDArray:
    return region.view(dtype)[_within(region, index)]


def _within(region: Bytes, index: Index) -> Index:
    last = int(index[0].max(initial=-1))
    if last >= len(region):
        raise ValueError(f"region must have beat {last}, not end after {len(region)} beats")
    return index


def _index(beat: NDArray[np.int64], column: NDArray[np.int64]) -> Index:
    beat, column = np.broadcast_arrays(beat, column)
    return beat, column


def _heads(address: int, stride: int, layout: KvLayerLayout) -> NDArray[np.int64]:
    return address + stride * np.arange(layout.heads)


def _key_words(region: Bytes, layout: KvLayerLayout, positions: NDArray[np.int64]) -> Index:
    """Beat and 8-byte word of K, each ``[tokens, heads, K32 / 8]``."""
    rows = region.shape[1] // _WORD
    share = channel_rows(layout.channels, rows)
    block, row = np.divmod(positions[:, None, None], rows)
    run, word = np.divmod(np.arange(layout.groups * GROUP // _WORD), BLOCK // _WORD)
    word = row % share * (BLOCK // _WORD) + word
    beat = _heads(layout.key, layout.key_stride, layout)[:, None] + run * (BLOCK // _WORD)
    beat = beat + block // SCALES_PER_BEAT + 1 + block * layout.groups * _BEATS_PER_GROUP
    return _index(beat + word // share, row // share * share + word % share)


def _key_scales(region: Bytes, layout: KvLayerLayout, positions: NDArray[np.int64]) -> Index:
    """Beat and 16-bit half word of K's scales, each ``[tokens, heads]``."""
    rows = region.shape[1] // _WORD
    share = channel_rows(layout.channels, rows)
    block, row = np.divmod(positions[:, None], rows)
    quad, part = np.divmod(block, SCALES_PER_BEAT)
    between = 1 + SCALES_PER_BEAT * layout.groups * _BEATS_PER_GROUP
    beat = _heads(layout.key, layout.key_stride, layout) + quad * between
    channel, local = np.divmod(row, share)
    return _index(beat, (channel * SCALES_PER_BEAT + part) * share + local)


def _value_bytes(region: Bytes, layout: KvLayerLayout, positions: NDArray[np.int64]) -> Index:
    """Beat and byte of V, each ``[tokens, heads, head_dim]``."""
    rows = region.shape[1] // _WORD
    share = channel_rows(layout.channels, rows)
    block, row = np.divmod(np.arange(layout.head_dim), rows)
    channel, local = np.divmod(row, share)
    run, column = np.divmod(positions[:, None, None], BLOCK)
    over, byte = np.divmod(local * BLOCK + column, _WORD * share)
    beat = _heads(layout.value, layout.value_stride, layout)[:, None] + block * layout.pitch
    return _index(beat + run * (BLOCK // _WORD) + over, channel * _WORD * share + byte)


def _value_scales(region: Bytes, layout: KvLayerLayout, positions: NDArray[np.int64]) -> Index:
    """Beat and 16-bit half word of V's scales, each ``[tokens, heads]``."""
    beat, column = np.divmod(positions[:, None], region.shape[1] // 2)
    beat = beat + layout.scales + _heads(layout.value, layout.value_stride, layout)
    return _index(beat, column)
