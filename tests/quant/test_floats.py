import struct
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from alula.quant.floats import bf16_bits, clean, from_bf16_bits, round_bf16

LARGEST = (2 - 2**-23) * 2.0**127


def test_clean_keeps_normal_numbers_and_drops_the_rest():
    values = np.array([1.5, -1.5, 2.0**-126, 2.0**-127, -(2.0**-140), -0.0, 1e39, -1e39])
    assert clean(values).tolist() == [1.5, -1.5, 2.0**-126, 0, 0, 0, LARGEST, -LARGEST]
    assert not np.signbit(clean(values)[[3, 4, 5]]).any()


def test_clean_decides_before_rounding():
    assert clean(np.array([2.0**-126 * (1 - 2.0**-40)]))[0] == 0


@given(st.floats(width=32, allow_nan=False, allow_infinity=False))
def test_round_bf16_takes_the_nearest(value):
    result = round_bf16(np.array([value], np.float32))
    bits = int(bf16_bits(result)[0])
    exact = clean(np.array([value], np.float32))[0]
    step = Fraction(2) ** max(-149 + 16, (bits >> 7 & 255) - 127 - 7)
    if abs(float(exact)) < 3.38e38:
        assert abs(Fraction(float(result[0])) - Fraction(float(exact))) <= step / 2
    assert struct.unpack("<f", bytes(2) + bits.to_bytes(2, "little"))[0] == result[0]


def test_round_bf16_ties_to_even_and_saturates():
    values = np.array([1 + 2**-8, 1 + 3 * 2**-8, 3.4e38, -3.4e38], np.float32)
    assert round_bf16(values).tolist() == [1, 1 + 4 * 2**-8, 255 * 2.0**120, -255 * 2.0**120]


def test_bits_refuse_what_is_no_bf16():
    with pytest.raises(ValueError, match="values must be bf16, not float32"):
        bf16_bits(np.array([1 + 2**-20], np.float32))


def test_bits_round_trip():
    bits = np.arange(0x80, 0x7F80, dtype=np.uint16)
    assert (bf16_bits(from_bf16_bits(bits)) == bits).all()
