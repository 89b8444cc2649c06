from fractions import Fraction

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.quant import oracle

from alula.quant.integers import (
    Activations,
    _levels,
    check_exact,
    multiply,
    quantize_kv,
    quantize_rows,
    vanished,
)


@st.composite
def rows(draw, most=100):
    """Rows with groups of very different size, zeros among them."""
    length = draw(st.integers(1, most))
    generator = torch.Generator().manual_seed(draw(st.integers(0, 10**6)))
    x = torch.randn(length, generator=generator)
    for first in range(0, length, 32):
        x[first : first + 32] *= 2.0 ** draw(st.sampled_from([0, 0, -3, -9, 5, -60, 100, -126]))
        x[first : first + 32] *= draw(st.sampled_from([1, 1, 1, 0]))
    return torch.where(x.abs() < 2.0**-126, 0.0, x)


@settings(max_examples=150)
@given(rows())
def test_quantize_rows(x):
    result = quantize_rows(x[None])
    exponent, scales, q = oracle.quantize_row(oracle.fractions(x))
    assert result.exponent.tolist() == [[exponent]]
    scaled = [value * scales[index // 32] for index, value in enumerate(q)]
    assert result.wide()[0, : len(x)].tolist() == scaled[: len(x)]


@settings(max_examples=150)
@given(rows())
def test_none_is_clamped_and_what_vanishes_is_counted(x):
    """A group's largest value sets its scale, so that rounding reaches 127 and goes no further."""
    assert _levels(x[None])[0].abs().max() <= 127
    zeros = quantize_rows(x[None]).wide()[0, : len(x)] == 0
    assert vanished(x[None]) == int((zeros & (x != 0)).sum())


@settings(max_examples=150)
@given(rows(64))
def test_quantize_kv(x):
    q, c = quantize_kv(x[None])
    scale, numbers = oracle.quantize_kv(oracle.fractions(x))
    assert Fraction(c.item()) == scale
    assert q[0].tolist() == numbers


@settings(max_examples=60)
@given(rows(70), st.integers(1, 5), st.booleans(), st.integers(0, 1000))
def test_multiply(x, outputs, scaled, seed):
    generator = torch.Generator().manual_seed(seed)
    weights = torch.randint(-2600, 2600, (outputs, len(x)), generator=generator)
    c = torch.rand(outputs, generator=generator).bfloat16().float()
    result = multiply(quantize_rows(x[None]), weights.short(), c if scaled else None)
    exponent, scales, q = oracle.quantize_row(oracle.fractions(x))
    for n in range(outputs):
        row = weights[n].tolist()
        acc = sum(q[k] * scales[k // 32] * row[k] for k in range(len(x)))
        value = oracle.fl(acc)
        if scaled:
            value = oracle.fl(value * Fraction(c[n].item()))
        assert Fraction(result[0, n].item()) == oracle.fl(value * Fraction(2) ** exponent)


def test_multiply_is_exact_at_its_bound():
    inputs = 4096
    scaled = torch.full((1, inputs), 127.0 * 255, dtype=torch.float64)
    scaled[0, 0] = 1
    weights = torch.full((1, inputs), 2548, dtype=torch.int16)
    result = multiply(Activations(scaled, torch.zeros(1, 1, dtype=torch.int64)), weights, None)
    assert result.item() == float(oracle.fl(2548 * (1 + 127 * 255 * (inputs - 1))))


def test_inexact_products_are_refused():
    check_exact(1 << 20, 2548)
    with pytest.raises(ValueError, match=r"must be below 2\*\*53, not"):
        check_exact(1 << 30, 2548)
