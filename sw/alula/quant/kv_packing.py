"""KV rows in and out of a device's memory, where ST.K and ST.T put them.

A region is an array of beats, uint8 ``[beats, 8 * R]``, C-contiguous; addresses count its beats. A
head's K is a growing W8 matrix (row = position). A head's V is a growing V8 matrix (row = element
of the head, input = position) with a fixed pitch of row blocks, its scales are a flat bf16 vector.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from alula.isa.formats import GROUP
from alula.isa.kv import Places, key_places, value_places
from alula.quant.floats import FloatArray, bf16_bits, from_bf16_bits
from alula.quant.packing import Bytes, channel_rows

Int8 = NDArray[np.int8]

_WORD = 8


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
    rows = np.zeros((tokens, layout.heads, layout.groups * GROUP), np.int8)
    rows[..., : layout.head_dim] = keys
    _put(region, _key_bytes(region, layout, position, tokens), rows, scales)


def unpack_k(
    region: Bytes, layout: KvLayerLayout, position: int, tokens: int
) -> tuple[Int8, FloatArray]:
    """The K of `tokens` tokens from `position` on; the inverse of `pack_k`."""
    _check_region(region, layout)
    rows, scales = _get(region, _key_bytes(region, layout, position, tokens))
    return np.ascontiguousarray(rows[..., : layout.head_dim]), scales


def pack_v(
    region: Bytes, layout: KvLayerLayout, position: int, values: Int8, scales: FloatArray
) -> None:
    """Write the V of tokens at `position` and after; arguments and errors as in `pack_k`."""
    tokens = _check(region, layout, position, values, scales)
    _put(region, _value_bytes(region, layout, position, tokens), values, scales)


def unpack_v(
    region: Bytes, layout: KvLayerLayout, position: int, tokens: int
) -> tuple[Int8, FloatArray]:
    """The V of `tokens` tokens from `position` on; the inverse of `pack_v`."""
    _check_region(region, layout)
    return _get(region, _value_bytes(region, layout, position, tokens))


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


def _put(region: Bytes, places: Places, rows: Int8, scales: FloatArray) -> None:
    factors = bf16_bits(scales).view(np.uint8).reshape(*scales.shape, 2)
    region.reshape(-1)[places] = np.concatenate((rows.view(np.uint8), factors), axis=-1)


def _get(region: Bytes, places: Places) -> tuple[Int8, FloatArray]:
    found = region.reshape(-1)[places]
    factors = np.ascontiguousarray(found[..., -2:]).view("<u2")[..., 0]
    return np.ascontiguousarray(found[..., :-2]).view(np.int8), from_bf16_bits(factors)


def _key_bytes(region: Bytes, layout: KvLayerLayout, position: int, tokens: int) -> Places:
    """Bytes of K and its scales, ``[tokens, heads, K32 + 2]``."""
    width, lane = _widths(region, layout)
    rows = key_places(position + np.arange(tokens), layout.groups, width=width, lane=lane)
    return _of_heads(region, layout, rows, layout.key, layout.key_stride)


def _value_bytes(region: Bytes, layout: KvLayerLayout, position: int, tokens: int) -> Places:
    """Bytes of V and its scales, ``[tokens, heads, head_dim + 2]``."""
    width, lane = _widths(region, layout)
    place = position + np.arange(tokens), layout.groups, layout.pitch, layout.scales
    rows = value_places(*place, width=width, lane=lane)
    kept = np.r_[: layout.head_dim, -2:0]
    return _of_heads(region, layout, rows[:, kept], layout.value, layout.value_stride)


def _widths(region: Bytes, layout: KvLayerLayout) -> tuple[int, int]:
    """Bytes of a beat and of a channel's part of it."""
    return region.shape[1], region.shape[1] // layout.channels


def _of_heads(
    region: Bytes, layout: KvLayerLayout, rows: Places, address: int, stride: int
) -> Places:
    """Rows of a head at the beats of each; ValueError where the region ends before them."""
    starts = address + stride * np.arange(layout.heads)
    places = rows[:, None] + starts[:, None] * region.shape[1]
    last = int(places.max(initial=-1)) // region.shape[1]
    if last >= len(region):
        raise ValueError(f"region must have beat {last}, not end after {len(region)} beats")
    return places
