from fractions import Fraction

import numpy as np
import pytest
import torch
from hypothesis import example, given
from hypothesis import strategies as st
from tests.quant import oracle

from alula.isa.functions import LOOKED_UP, PHI, SIGMOID
from alula.quant import arithmetic, functions

numbers = st.one_of(
    st.floats(width=32, allow_nan=False, allow_infinity=False, allow_subnormal=False),
    st.floats(-100, 100, width=32, allow_subnormal=False),
    st.builds(
        lambda sign, mantissa, exponent: sign * mantissa * 2.0**exponent,
        st.sampled_from([-1, 1]),
        st.integers(2**23, 2**24 - 1),
        st.integers(-149, 104),
    ),
).map(lambda value: value + 0.0)


def tensor(*values):
    return torch.tensor(values, dtype=torch.float32)


def only(result):
    value = result.item()
    assert not (value == 0 and np.signbit(value))
    return Fraction(value)


@given(numbers, numbers)
@example(2.0**-126 * (2 - 2**-23), 0.5)
@example(2.0**-120 * (1 + 2**-23), 2.0**-6 * (1 - 2**-23))
@example(3e38, 3e38)
@example(-(2.0**-100), 2.0**-100)
def test_product_total_difference(a, b):
    x, y = Fraction(a), Fraction(b)
    assert only(arithmetic.product(tensor(a), tensor(b))) == oracle.fl(x * y)
    assert only(arithmetic.total(tensor(a), tensor(b))) == oracle.fl(x + y)
    assert only(arithmetic.difference(tensor(a), tensor(b))) == oracle.fl(x - y)


@given(st.lists(numbers, min_size=1, max_size=200))
def test_tree_sum(values):
    assert only(arithmetic.tree_sum(tensor(*values))) == oracle.total(list(map(Fraction, values)))


@given(st.lists(numbers.map(abs), min_size=1, max_size=200))
@example([3e38, 3e38, 3e38, 1.0] * 40)
@example([2.0**-126, 0.0, 2.0**-126 * (1 + 2**-23)] * 30)
def test_unsigned_sum(values):
    found = only(arithmetic.unsigned_sum(tensor(*values)))
    assert found == oracle.total(list(map(Fraction, values)))


@given(st.integers(-1022, 1023))
def test_power_of_two(exponent):
    assert arithmetic.power_of_two(torch.tensor([exponent])).item() == 2.0**exponent


@given(numbers)
@example(0.0)
@example(-126.0 * 0.693115234375)
def test_functions_are_the_contracts(value):
    for table in LOOKED_UP:
        expected = getattr(oracle, table.name.lower())(Fraction(value))
        assert only(functions.distribution(table, tensor(value))) == expected
    magnitude = Fraction(abs(value))
    assert only(functions.exp(tensor(-abs(value)))) == oracle.exp(-magnitude)
    assert only(functions.rsqrt(tensor(abs(value)))) == oracle.rsqrt(magnitude)
    if value:
        assert only(functions.recip(tensor(abs(value)))) == oracle.recip(magnitude)


@pytest.mark.parametrize(
    ("name", "true", "low", "high", "limit"),
    [
        ("exp", torch.exp, -20, 0, 1e-5),
        ("recip", torch.reciprocal, 0.01, 100, 2e-6),
        ("rsqrt", torch.rsqrt, 0.01, 100, 4e-6),
    ],
)
def test_relative_error(name, true, low, high, limit):
    x = torch.linspace(low, high, 10001)
    x[-1] = high
    wanted = true(x.double())
    assert ((getattr(functions, name)(x) - wanted).abs() / wanted).max() < limit


def test_error_of_distributions():
    x = torch.linspace(-20, 20, 10001)
    wanted = torch.sigmoid(x.double())
    assert (functions.distribution(SIGMOID, x) - wanted).abs().max() < 2e-5
    wanted = torch.special.ndtr(x.double())
    assert (functions.distribution(PHI, x) - wanted).abs().max() < 1e-5


def test_pieces_give_the_same_bits():
    x = torch.randn(1000, 300, generator=torch.Generator().manual_seed(0))
    y = torch.randn(1000, 300, generator=torch.Generator().manual_seed(1))
    assert torch.equal(arithmetic.in_pieces(arithmetic.product, x, y), arithmetic.product(x, y))
