"""Matrices as arrays for a file: back bit for bit, at the size of the format."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from alula.isa.formats import DENSE, MATRIX_FORMATS
from alula.quant import quantize
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
    assert {name: (a.dtype, a.shape) for name, a in arrays.items()} == array_shapes(
        fmt, matrix.shape
    )
    again = from_arrays(fmt, matrix.shape, arrays)
    assert (again.format, again.pattern, again.shape) == (fmt.name, fmt.pattern.name, weight.shape)
    for name in ("q", "c", "s", "m"):
        np.testing.assert_array_equal(getattr(again, name), getattr(matrix, name))


@pytest.mark.parametrize("fmt", MATRIX_FORMATS.values(), ids=MATRIX_FORMATS)
def test_levels_take_their_bits(fmt) -> None:
    """16 rows of 64 inputs: no format pads anything there."""
    shapes = array_shapes(fmt, (16, 64))
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
        from_arrays(fmt, (3, 64), arrays)
