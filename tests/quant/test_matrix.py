import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from alula.isa.formats import EXCESS, MIN_UNIT, PATTERNS
from alula.quant import QuantizedMatrix, quantize


def weights(shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


def relative_error(weight, matrix):
    return np.linalg.norm(matrix.dequantize() - weight) / np.linalg.norm(weight)


def test_values_follow_the_formula():
    matrix = quantize(weights((5, 70)), "W4")
    assert matrix.q.shape == (5, 96)
    assert matrix.s.shape == matrix.m.shape == (5, 3)
    n, k = 3, 67
    integer = int(matrix.s[n, 2]) * (int(matrix.q[n, k]) - EXCESS) + MIN_UNIT * int(matrix.m[n, 2])
    assert matrix.integers()[n, k] == integer
    assert matrix.dequantize()[n, k] == np.float32(float(matrix.c[n]) * integer)


@pytest.mark.parametrize(("fmt", "limit"), [("W4", 0.075), ("W8", 0.01)])
def test_error_of_normal_weights(fmt, limit):
    weight = weights((64, 512))
    assert relative_error(weight, quantize(weight, fmt)) < limit


def test_sixteen_levels_a_group_are_nearly_lossless():
    rng = np.random.default_rng(1)
    step = rng.uniform(0.3, 1, (64, 16, 1))
    low = rng.normal(-7.5, 0.3, (64, 16, 1)) * step
    weight = (low + step * rng.integers(0, 16, (64, 16, 32))).astype(np.float32).reshape(64, 512)
    assert relative_error(weight, quantize(weight, "W4")) < 0.02


@pytest.mark.parametrize("pattern", [name for name in PATTERNS if name != "dense"])
@pytest.mark.parametrize(
    ("bits", "limit"), [("W8", 0.01), ("W4", 0.12), ("W3", 0.25), ("W2", 0.55)]
)
def test_a_pattern_keeps_the_largest(pattern, bits, limit):
    weight, item = weights((8, 512)), PATTERNS[pattern]
    matrix = quantize(weight, f"{bits} {pattern}")
    runs = np.abs(weight).reshape(8, -1, item.of)
    least = np.sort(runs, axis=2)[..., -item.kept, None]
    kept = np.where(runs >= least, weight.reshape(runs.shape), 0).reshape(8, -1)
    assert relative_error(kept, matrix) < limit
    assert (matrix.dequantize()[kept == 0] == 0).all()


@pytest.mark.parametrize(("fmt", "limit"), [("W3", 0.16), ("W2", 0.38)])
def test_fewer_bits_lose_more(fmt, limit):
    weight = weights((64, 512))
    assert (
        relative_error(weight, quantize(weight, "W4"))
        < relative_error(weight, quantize(weight, fmt))
        < limit
    )


@pytest.mark.parametrize("fmt", ["W4", "W8"])
def test_zero_rows_and_zero_groups(fmt):
    weight = weights((4, 64))
    weight[1] = 0
    weight[2, :32] = 0
    matrix = quantize(weight, fmt)
    assert matrix.c[1] == 0
    assert (matrix.dequantize()[1] == 0).all()
    assert (matrix.dequantize()[2, :32] == 0).all()
    if fmt == "W4":
        assert (matrix.s >= 1).all()


@pytest.mark.parametrize("fmt", ["W4", "W8"])
@pytest.mark.parametrize("value", [3.4e38, 1e30, 1e-30, 2e-38, 1e-44])
def test_extreme_magnitudes(fmt, value):
    weight = (weights((3, 64)).clip(-1, 1) * value).astype(np.float32)
    matrix = quantize(weight, fmt)
    assert np.isfinite(matrix.dequantize()).all()
    assert ((matrix.c == 0) | (matrix.c >= 2.0**-126)).all()
    if value > 1e-33:
        assert relative_error(weight / value, scaled(matrix, value)) < 0.1


def scaled(matrix, value):
    class Scaled:
        def dequantize(self):
            return matrix.dequantize() / value

    return Scaled()


@settings(max_examples=50)
@given(
    st.integers(1, 5),
    st.integers(1, 100),
    st.sampled_from(["W4", "W8"]),
    st.floats(-30, 30),
    st.floats(0, 50),
    st.integers(0, 1000),
)
def test_error_is_bounded_by_the_row(rows, inputs, fmt, exponent, offset, seed):
    """No weight is off by more than 1/15 of its row's span from zero, whatever the weights are."""
    weight = ((weights((rows, inputs), seed) + np.float32(offset)) * 10**exponent).astype(
        np.float32
    )
    matrix = quantize(weight, fmt)
    off = np.abs(matrix.dequantize() - weight).max(axis=1)
    span = weight.max(axis=1, initial=0) - weight.min(axis=1, initial=0)
    assert (off <= span / 15 + 1e-37).all()
    assert (matrix.q[:, inputs:] == 0).all()
    assert (matrix.c.view(np.uint32) & 0xFFFF == 0).all()


def test_is_deterministic_and_row_by_row():
    weight = weights((33, 96))
    whole, part = quantize(weight, "W4"), quantize(weight[7:9], "W4")
    for name in ("q", "s", "m", "c"):
        assert (getattr(whole, name)[7:9] == getattr(part, name)).all()


def test_refusals():
    with pytest.raises(ValueError, match=r"fmt must be one of W4, W4 2:4, .*, not V8"):
        quantize(weights((2, 32)), "V8")
    with pytest.raises(ValueError, match="weight must be finite, not NaN or infinite"):
        quantize(np.full((2, 32), np.inf, np.float32), "W4")
    with pytest.raises(ValueError, match=r"weight must have rows and inputs, not the shape \(3,\)"):
        quantize(weights(3), "W4")


def test_arrays_are_checked():
    q, c = np.zeros((2, 32), np.int8), np.zeros(2, np.float32)
    with pytest.raises(ValueError, match="format must be one of W4, W8, V8, W3, W2, not W5"):
        QuantizedMatrix("W5", (2, 32), q, c)
    with pytest.raises(ValueError, match=r"q must be uint8 \(2, 32\), not int8 \(2, 32\)"):
        QuantizedMatrix("W4", (2, 32), q, c)
    with pytest.raises(ValueError, match=r"s must be uint8 \(2, 1\), not None"):
        QuantizedMatrix("W4", (2, 32), q.view(np.uint8), c)
    with pytest.raises(ValueError, match="s must be None for W8"):
        QuantizedMatrix("W8", (2, 32), q, c, s=np.zeros((2, 1), np.uint8))
    narrow = np.array([[8] + 31 * [0]], np.uint8)
    with pytest.raises(ValueError, match=r"q of W3 must be 0\.\.7, not 0\.\.8"):
        QuantizedMatrix("W3", (1, 32), narrow, c[:1], np.ones((1, 1), np.uint8), q[:1, :1])


def test_patterns_are_checked():
    q, c = np.zeros((1, 32), np.int8), np.zeros(1, np.float32)
    with pytest.raises(ValueError, match="pattern of V8 must be one of dense, not 2:4"):
        QuantizedMatrix("V8", (1, 32), q, c, pattern="2:4")
    q[0, 4:7] = 1
    QuantizedMatrix("W8", (1, 32), q, c, pattern="4:16")
    with pytest.raises(ValueError, match="q must have at most 2 of 4 inputs other than 0, not 3"):
        QuantizedMatrix("W8", (1, 32), q, c, pattern="2:4")
    q[0, 4:7] = 4
    with pytest.raises(ValueError, match=r"q of W3 must be -4\.\.3, not 0\.\.4"):
        QuantizedMatrix("W3", (1, 32), q, c, np.ones((1, 1), np.int8), pattern="4:16")
    s = np.ones((1, 1), np.int8)
    with pytest.raises(ValueError, match="m must be None for W4 4:16"):
        QuantizedMatrix("W4", (1, 32), q, c, s, s, pattern="4:16")
