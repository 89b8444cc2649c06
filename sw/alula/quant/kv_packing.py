"""Rows of keys and values in and out of a device's memory, where ST.KEY and ST.VALUE put them.

A region is an array of beats, uint8 ``[beats, 8 * R]``, C-contiguous. Rows are int8 ``[tokens,
heads, head_dim]`` with scales ``[tokens, heads]``, float32 of bf16 values. `places` are their bytes
in the region, as `alula.isa.kv.kv_places` gives them.
"""

import numpy as np
from numpy.typing import NDArray

from alula.isa.kv import Places
from alula.quant.floats import FloatArray, bf16_bits, from_bf16_bits
from alula.quant.packing import Bytes

Int8 = NDArray[np.int8]


def put_rows(region: Bytes, places: Places, rows: Int8, scales: FloatArray) -> None:
    """Write rows and their scales into a region.

    Raises:
        ValueError: A shape or a type differs, the region is too small or is not an array of beats.
    """
    _check_region(region, places)
    count, width = places.shape
    if rows.dtype != np.int8 or rows.size != count * (width - 2):
        raise ValueError(
            f"rows must be int8 of {count} times {width - 2}, not {rows.dtype} {rows.shape}"
        )
    if scales.dtype != np.float32 or scales.shape != rows.shape[:-1]:
        raise ValueError(
            f"scales must be float32 {rows.shape[:-1]}, not {scales.dtype} {scales.shape}"
        )
    factors = bf16_bits(scales).view(np.uint8).reshape(count, 2)
    values = np.ascontiguousarray(rows).view(np.uint8).reshape(count, width - 2)
    region.reshape(-1)[places] = np.hstack((values, factors))


def get_rows(region: Bytes, places: Places, heads: int) -> tuple[Int8, FloatArray]:
    """Rows and their scales as they are in a region; the inverse of `put_rows`.

    Raises:
        ValueError: The region is too small or is not an array of beats.
    """
    _check_region(region, places)
    found = region.reshape(-1)[places].reshape(-1, heads, places.shape[1])
    factors = np.ascontiguousarray(found[..., -2:]).view("<u2")[..., 0]
    return np.ascontiguousarray(found[..., :-2]).view(np.int8), from_bf16_bits(factors)


def _check_region(region: Bytes, places: Places) -> None:
    if region.dtype != np.uint8 or region.ndim != 2 or not region.flags.c_contiguous:
        raise ValueError(
            f"region must be contiguous beats of uint8, not {region.dtype} {region.shape}"
        )
    first, last = int(places.min(initial=0)), int(places.max(initial=-1)) // region.shape[1]
    if first < 0 or last >= len(region):
        raise ValueError(
            f"region must have beats {first // region.shape[1]} to {last}, not {len(region)}"
        )
