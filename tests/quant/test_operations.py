from fractions import Fraction

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.quant import oracle
from tests.quant.oracle import fl

from alula.isa.functions import FUNCTIONS
from alula.quant import operations
from alula.quant.functions import activation

seeds = st.integers(0, 10**6)


def normal(*shape, seed=0, scale=1.0):
    return scale * torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def exact(tensor):
    return oracle.fractions(tensor)


@settings(max_examples=40)
@given(st.integers(1, 150), seeds, st.sampled_from([1e-8, 1.0, 1e6]))
def test_rmsnorm(length, seed, scale):
    x, gain = normal(length, seed=seed, scale=scale), normal(length, seed=seed + 1)
    terms = [fl(value * value) for value in exact(x)]
    mean = fl(oracle.total(terms) * fl(Fraction(1, length)))
    r = oracle.rsqrt(fl(mean + fl(1e-5)))
    wanted = [fl(fl(a * r) * g) for a, g in zip(exact(x), exact(gain), strict=True)]
    assert exact(operations.rmsnorm(x[None], gain, 1e-5)) == wanted


@settings(max_examples=40)
@given(st.integers(1, 150), seeds)
def test_layernorm(length, seed):
    x, gain, bias = (normal(length, seed=seed + part) for part in range(3))
    inverse = fl(Fraction(1, length))
    mean = fl(oracle.total(exact(x)) * inverse)
    d = [fl(value - mean) for value in exact(x)]
    variance = fl(oracle.total([fl(value * value) for value in d]) * inverse)
    r = oracle.rsqrt(fl(variance + fl(1e-5)))
    wanted = [
        fl(fl(fl(a * r) * g) + b) for a, g, b in zip(d, exact(gain), exact(bias), strict=True)
    ]
    assert exact(operations.layernorm(x[None], gain, bias, 1e-5)) == wanted


@settings(max_examples=30)
@given(st.integers(1, 4), st.integers(1, 80), seeds, st.sampled_from([0.1, 5.0, 1e30]))
def test_softmax(rows, first, seed, scale):
    width = first + rows - 1
    x, factors = normal(rows, width, seed=seed, scale=scale), normal(width, seed=seed + 1).abs()
    valid = torch.arange(first, first + rows)
    inside = torch.arange(width) < valid[:, None]
    result = operations.softmax(x[None], inside, factors)[0]
    for row in range(rows):
        count = first + row
        scores = exact(x[row, :count])
        e = [oracle.exp(fl(value - max(scores))) for value in scores]
        r = oracle.recip(oracle.total(e))
        wanted = [fl(fl(a * r) * f) for a, f in zip(e, exact(factors), strict=False)]
        assert exact(result[row]) == wanted + [0] * (width - count)


def test_rope():
    x, table = normal(2, 3, 8), normal(2, 1, 8, seed=1)
    cosine, sine = table.chunk(2, -1)
    result = operations.rope(x, cosine, sine)
    for token in range(2):
        for head in range(3):
            a, b = exact(x[token, head, :4]), exact(x[token, head, 4:])
            c, s = exact(cosine[token]), exact(sine[token])
            first = [fl(fl(a[i] * c[i]) - fl(b[i] * s[i])) for i in range(4)]
            second = [fl(fl(b[i] * c[i]) + fl(a[i] * s[i])) for i in range(4)]
            assert exact(result[token, head]) == first + second


@pytest.mark.parametrize(
    ("name", "factor"),
    [("silu", oracle.sigmoid), ("gelu", oracle.phi), ("gelu_tanh", oracle.phi_tanh)],
)
def test_activations(name, factor):
    x = normal(300, scale=4)
    result = activation(FUNCTIONS[name], x)
    assert exact(result) == [fl(value * factor(value)) for value in exact(x)]


def test_relu_has_no_negative_zero():
    result = activation(FUNCTIONS["relu"], torch.tensor([-1.0, 0.0, 2.0]))
    assert result.tolist() == [0, 0, 2]
    assert not result.signbit().any()
