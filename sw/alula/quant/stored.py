"""A matrix as named arrays for a file: the integers of its format, row by row and without waste.

A row's levels are bits, the first lowest (`alula.quant.bits`), padded with zeros to whole bytes; of
a pattern only those that are kept, with the input of each within its run of M in `index`. Of a
matrix of several bands names begin with the band's number: `1.levels`.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from alula.design import BLOCK, GROUP
from alula.ir.bands import Band
from alula.isa.formats import DENSE, WeightFormat
from alula.quant.banded import WeightMatrix, joined, parts_of
from alula.quant.bits import from_bits, to_bits
from alula.quant.floats import bf16_bits, from_bf16_bits
from alula.quant.matrix import QuantizedMatrix
from alula.quant.packing import kept_inputs, signed, spread

Arrays = dict[str, NDArray[Any]]
Shapes = dict[str, tuple[type[np.generic], tuple[int, ...]]]
_RUN = 8
"""Values that fill whole bytes, whatever their bits."""


def array_shapes(bands: Sequence[Band], inputs: int) -> Shapes:
    """Type and shape of each array of a matrix of some bands.

    `levels` and `index` are bytes, `c` the 16 bits of bf16 numbers, `s` and `m` as in
    `QuantizedMatrix`.
    """
    return {
        prefix + name: found
        for band, prefix in zip(bands, _prefixes(bands), strict=True)
        for name, found in _band_shapes(band.format, (band.rows, inputs)).items()
    }


def to_arrays(matrix: WeightMatrix) -> Arrays:
    """The arrays of a matrix, as `array_shapes` lists them."""
    parts = parts_of(matrix)
    return {
        prefix + name: array
        for part, prefix in zip(parts, _prefixes(parts), strict=True)
        for name, array in _band_arrays(part).items()
    }


def from_arrays(
    bands: Sequence[Band], inputs: int, arrays: Mapping[str, NDArray[Any]]
) -> WeightMatrix:
    """The matrix of some bands whose arrays these are; the inverse of `to_arrays`.

    Raises:
        ValueError: an array is missing, or of another type, shape or range.
    """
    for name, (dtype, wanted) in array_shapes(bands, inputs).items():
        array = arrays.get(name)
        if array is None or array.dtype != dtype or array.shape != wanted:
            found = "missing" if array is None else f"{array.dtype} {array.shape}"
            raise ValueError(f"{name} must be {np.dtype(dtype)} {wanted}, not {found}")
    return joined(
        _band(
            band.format,
            (band.rows, inputs),
            {name.removeprefix(prefix): array for name, array in arrays.items()},
        )
        for band, prefix in zip(bands, _prefixes(bands), strict=True)
    )


def _prefixes(bands: Sequence[object]) -> list[str]:
    return [f"{number}." for number in range(len(bands))] if len(bands) > 1 else [""]


def _band_shapes(fmt: WeightFormat, shape: tuple[int, int]) -> Shapes:
    rows, groups = shape[0], -(-shape[1] // GROUP)
    kept = -(-groups * GROUP // fmt.pattern.segments // _RUN) * _RUN
    found: Shapes = {
        "levels": (np.uint8, (rows, kept * fmt.bits // 8)),
        "c": (np.uint16, (rows,)),
    }
    if fmt.pattern is not DENSE:
        found["index"] = (np.uint8, (rows, kept * fmt.pattern.index_bits // 8))
    if fmt.metas:
        found["s"] = (np.uint8 if fmt.excess else np.int8, (rows, groups))
    if fmt.excess:
        found["m"] = (np.int8, (rows, groups))
    return found


def _band_arrays(matrix: QuantizedMatrix) -> Arrays:
    fmt, rows = matrix.layout, len(matrix.q)
    levels, arrays = matrix.q.view(np.uint8), Arrays()
    if fmt.pattern is not DENSE:
        index = kept_inputs(matrix.q.view(np.int8), fmt.pattern)
        blocks = levels.reshape(rows, -1, BLOCK)
        levels = np.take_along_axis(blocks, index, axis=-1) & np.uint8((1 << fmt.bits) - 1)
        within = (index % fmt.pattern.of).astype(np.uint8)
        arrays["index"] = to_bits(_whole(within, rows), fmt.pattern.index_bits)
    arrays["levels"] = to_bits(_whole(levels, rows), fmt.bits)
    arrays["c"] = bf16_bits(matrix.c)
    metas = {"s": matrix.s, "m": matrix.m}
    return arrays | {name: array for name, array in metas.items() if array is not None}


def _band(
    fmt: WeightFormat, shape: tuple[int, int], arrays: Mapping[str, NDArray[Any]]
) -> QuantizedMatrix:
    rows, groups = shape[0], -(-shape[1] // GROUP)
    kept = groups * GROUP // fmt.pattern.segments
    q = signed(from_bits(arrays["levels"], fmt.bits)[:, :kept], fmt)
    if fmt.pattern is not DENSE:
        index = from_bits(arrays["index"], fmt.pattern.index_bits)[:, :kept]
        each = (rows, -1, BLOCK // fmt.pattern.segments)
        q = spread(q.reshape(each), index.reshape(each), fmt.pattern)
    q = np.ascontiguousarray(q.reshape(rows, groups * GROUP))
    c = from_bf16_bits(arrays["c"])
    s, m = arrays.get("s"), arrays.get("m")
    return QuantizedMatrix(fmt.name, shape, q, c, s, m, fmt.pattern.name)


def _whole(values: NDArray[np.uint8], rows: int) -> NDArray[np.uint8]:
    """Values ``[rows, n]`` with zeros up to whole runs."""
    flat = values.reshape(rows, -1)
    return np.ascontiguousarray(np.pad(flat, ((0, 0), (0, -flat.shape[1] % _RUN))))
