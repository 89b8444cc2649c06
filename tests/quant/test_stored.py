"""Matrices as arrays for a file: back bit for bit, at the size of the format."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from alula.ir.bands import bands_of, title_of
from alula.isa.formats import DENSE, MATRIX_FORMATS
from alula.quant import QuantizedMatrix, quantize
from alula.quant.banded import BandedMatrix, matrix_title, parts_of, quantize_bands
from alula.quant.stored import array_shapes, from_arrays, to_arrays


@given(
    st.sampled_from(list(MATRIX_FORMATS.values())),
    st.integers(1, 9),
    st.integers(1, 100),
    st.integers(0, 2**32 - 1),
)
def test_a_matrix_comes_back(fmt, rows: int, inputs: int, seed: int) -> None:
    weight = np.random.default_rng(seed).normal(size=(rows, inputs)).astype(np.float32)
    matrix = quantize(weight, fmt.title)
    arrays = to_arrays(matrix)
    bands = bands_of(fmt.title, rows)
    assert {name: (a.dtype, a.shape) for name, a in arrays.items()} == array_shapes(bands, inputs)
    again = from_arrays(bands, inputs, arrays)
    assert isinstance(again, QuantizedMatrix)
    assert (again.format, again.pattern, again.shape) == (fmt.name, fmt.pattern.name, weight.shape)
    for name in ("q", "c", "s", "m"):
        np.testing.assert_array_equal(getattr(again, name), getattr(matrix, name))


@given(
    st.lists(st.tuples(st.sampled_from(list(MATRIX_FORMATS)), st.integers(1, 9)), min_size=1),
    st.integers(1, 100),
    st.integers(0, 2**32 - 1),
)
def test_bands_come_back(parts: list[tuple[str, int]], inputs: int, seed: int) -> None:
    title, rows = title_of(parts), sum(count for _, count in parts)
    weight = np.random.default_rng(seed).normal(size=(rows, inputs)).astype(np.float32)
    bands = bands_of(title, rows)
    matrix = quantize_bands(weight, bands)
    arrays = to_arrays(matrix)
    assert {name: (a.dtype, a.shape) for name, a in arrays.items()} == array_shapes(bands, inputs)
    again = from_arrays(bands, inputs, arrays)
    assert matrix_title(again) == matrix_title(matrix) == title
    assert again.shape == matrix.shape == (rows, inputs)
    np.testing.assert_array_equal(again.c, matrix.c)
    np.testing.assert_array_equal(again.integers(), matrix.integers())
    np.testing.assert_array_equal(again.dequantize(), matrix.dequantize())
    for band, part in zip(bands, parts_of(again), strict=True):
        alone = quantize(weight[band.span], band.format.title)
        for name in ("q", "c", "s", "m"):
            np.testing.assert_array_equal(getattr(part, name), getattr(alone, name))


def test_bands_of_other_sizes_are_refused() -> None:
    one, other = (quantize(np.ones((2, size), np.float32), "W4") for size in (32, 64))
    with pytest.raises(ValueError, match="bands must be at least 2, not 1"):
        BandedMatrix((one,))
    with pytest.raises(ValueError, match="inputs of bands must be as many in each, not 32, 64"):
        BandedMatrix((one, other))


@pytest.mark.parametrize("fmt", MATRIX_FORMATS.values(), ids=MATRIX_FORMATS)
def test_levels_take_their_bits(fmt) -> None:
    """16 rows of 64 inputs: no format pads anything there."""
    shapes = array_shapes(bands_of(fmt.title, 16), 64)
    stored = 16 * 64 // fmt.pattern.segments
    assert shapes["levels"][1] == (16, stored // 16 * fmt.bits // 8)
    if fmt.pattern is not DENSE:
        assert shapes["index"][1] == (16, stored // 16 * fmt.pattern.index_bits // 8)


@pytest.mark.parametrize(
    ("name", "change", "message"),
    [
        ("s", lambda a: None, r"s must be int8 \(3, 2\), not missing"),
        ("levels", lambda a: a[:, :-1], r"levels must be uint8 \(3, 16\), not uint8 \(3, 15\)"),
        ("c", lambda a: a.astype(np.int32), r"c must be uint16 \(3,\), not int32 \(3,\)"),
    ],
)
def test_other_arrays_are_refused(name: str, change, message: str) -> None:
    fmt = MATRIX_FORMATS["W4 8:16"]
    weight = np.random.default_rng(1).normal(size=(3, 64)).astype(np.float32)
    arrays = to_arrays(quantize(weight, fmt.title))
    changed = change(arrays.pop(name))
    if changed is not None:
        arrays[name] = changed
    with pytest.raises(ValueError, match=message):
        from_arrays(bands_of(fmt.title, 3), 64, arrays)
