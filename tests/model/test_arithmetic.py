"""Kernels of fp32 against exact fractions."""

import math
from fractions import Fraction

import numba
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.model import reference

from alula.isa import functions
from alula.model.kernels import arithmetic, sfu
from alula.model.tables import DISTRIBUTIONS, EXP2, RECIP, RSQRT

LARGEST = float(np.finfo(np.float32).max)


def normal(low: float = -LARGEST, high: float = LARGEST) -> st.SearchStrategy[np.float32]:
    """Values that the vector buffer can hold."""
    floats = st.floats(low, high, width=32, allow_subnormal=False)
    return floats.map(lambda value: np.float32(0 if value == 0 else value))


PRODUCTS = st.tuples(normal(), normal())
CLOSE = st.tuples(normal(-4, 4), normal(-4, 4))
SMALL = st.tuples(normal(-(2.0**-120), 2.0**-120), normal(-1, 1))
PAIRS = PRODUCTS | CLOSE | SMALL


def same(actual: float, expected: Fraction) -> None:
    assert Fraction(float(actual)) == expected
    assert math.copysign(1, actual) == (-1 if expected < 0 else 1)


@settings(max_examples=400)
@given(PAIRS)
def test_operations_round_once_flush_and_saturate(pair: tuple[np.float32, np.float32]) -> None:
    a, b = reference.fractions(pair)
    same(arithmetic.add(*pair), reference.fl(a + b))
    same(arithmetic.subtract(*pair), reference.fl(a - b))
    same(arithmetic.multiply(*pair), reference.fl(a * b))


def test_a_product_just_below_the_smallest_normal_is_flushed_before_it_rounds() -> None:
    below = np.float32(2.0**-126) * np.float32(1), np.float32(1 - 2.0**-24)
    assert float(below[0]) * float(below[1]) < 2.0**-126
    assert arithmetic.multiply(*below) == 0
    assert arithmetic.multiply(np.float32(2.0**-126), np.float32(1)) == np.float32(2.0**-126)


def test_sums_that_cancel_are_positive_zero() -> None:
    x = np.float32(1.5)
    assert math.copysign(1, arithmetic.add(x, -x)) == 1
    assert math.copysign(1, arithmetic.multiply(np.float32(0), -x)) == 1


def test_overflow_saturates_with_its_sign() -> None:
    top = np.float32(LARGEST)
    assert arithmetic.add(top, top) == top
    assert arithmetic.multiply(top, -top) == -top


@settings(max_examples=50)
@given(st.integers(1, 300), st.integers(0, 2**32 - 1))
def test_tree(count: int, seed: int) -> None:
    terms = np.random.default_rng(seed).standard_normal(count).astype(np.float32)
    partials = np.zeros(64, np.float32)
    for index, term in enumerate(terms):
        partials[index % 64] = arithmetic.add(partials[index % 64], term)
    same(arithmetic.tree(partials), reference.total(reference.fractions(terms)))


@settings(max_examples=300)
@given(normal(-100, 0) | normal(-LARGEST, 0))
def test_exponential(x: np.float32) -> None:
    same(arithmetic.exponential(x, EXP2), reference.exp(Fraction(float(x))))


def test_exponential_at_its_lower_end() -> None:
    for x in np.linspace(-87.5, -87.2, 200, dtype=np.float32):
        same(arithmetic.exponential(x, EXP2), reference.exp(Fraction(float(x))))


@settings(max_examples=300)
@given(normal(-20, 20) | normal())
def test_distributions(x: np.float32) -> None:
    exact = Fraction(float(x))
    for table, arguments in DISTRIBUTIONS.items():
        expected = getattr(reference, table.name.lower())(exact)
        same(arithmetic.distribution(x, arguments), expected)


@settings(max_examples=300)
@given(normal(2.0**-126, LARGEST))
def test_reciprocals(x: np.float32) -> None:
    same(arithmetic.reciprocal(x, RECIP), reference.recip(Fraction(float(x))))
    same(arithmetic.reciprocal_root(x, RSQRT), reference.rsqrt(Fraction(float(x))))


def test_root_of_zero_is_the_largest_number() -> None:
    assert arithmetic.reciprocal_root(np.float32(0), RSQRT) == np.float32(LARGEST)


TIES = st.integers(0x0080, 0x7F7F).map(
    lambda upper: np.array([upper << 16 | 0x8000], np.uint32).view(np.float32)[0]
)


@settings(max_examples=300)
@given(normal() | TIES)
def test_bf16(x: np.float32) -> None:
    bits = arithmetic.bf16_bits(x)
    value = np.array([bits << 16], np.uint32).view(np.float32)[0]
    expected = reference.fl(Fraction(float(x)), bits=8)
    largest = Fraction(255 * 2**120)
    assert Fraction(float(value)) == max(min(expected, largest), -largest)


@pytest.mark.parametrize(
    ("bits", "expected"),
    [
        (0x00000000, 0x00000000),
        (0x80000000, 0x00000000),
        (0x007FFFFF, 0x00000000),
        (0x80800000, 0x80800000),
        (0x3F800000, 0x3F800000),
        (0x7F800000, 0x7F7FFFFF),
        (0xFF800000, 0xFF7FFFFF),
        (0x7FC00001, 0x7F7FFFFF),
        (0xFFC00001, 0xFF7FFFFF),
    ],
)
def test_what_enters_is_clean(bits: int, expected: int) -> None:
    assert arithmetic.clean(np.uint32(bits)) == expected


@pytest.mark.parametrize("table", functions.TABLES, ids=lambda table: table.name)
def test_tables_are_the_contracts_at_every_segment(table: functions.Table) -> None:
    array = np.array(table.coefficients, np.int64).T.copy()
    last = (1 << table.step_bits) - 1
    for segment in range(table.segments):
        for rest in (0, 1, last // 2, last):
            u = segment << table.step_bits | rest
            assert arithmetic.look_up((array, table.step_bits), u) == table(u)


def test_no_kernel_contracts_a_product_and_a_sum() -> None:
    rope = numba.njit(error_model="numpy")(sfu.rope.py_func)
    rope(np.zeros(256, np.float32), 0, 128, 1, 1, 32, 32)
    (text,) = rope.inspect_asm().values()
    assert "mulsd" in text or "mulpd" in text
    assert "vfmadd" not in text
    assert "vfmsub" not in text
