"""fp32 and bf16 as the contract has them: +0 or normal, nothing else (numpy)."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float32]

SMALLEST = float(np.finfo(np.float32).tiny)
"""2**-126, the smallest normal number."""
LARGEST = float(np.finfo(np.float32).max)
_LARGEST_BF16 = np.uint32(0x7F7F_0000)


def clean(values: NDArray[Any]) -> FloatArray:
    """Round to float32 and clean: what is below 2**-126 becomes +0.

    Overflow becomes the largest finite number. Takes any float array without NaN, of any shape.
    """
    with np.errstate(over="ignore"):
        single = np.clip(np.asarray(values).astype(np.float32), -LARGEST, LARGEST)
    return np.where(np.abs(values) < SMALLEST, np.float32(0), single)


def round_bf16(values: NDArray[Any]) -> FloatArray:
    """The nearest bf16 (ties to even) of cleaned float32 values, widened again.

    Overflow gives the largest finite bf16.
    """
    bits = np.ascontiguousarray(clean(values)).view(np.uint32)
    magnitude = bits & np.uint32(0x7FFF_FFFF)
    odd = magnitude >> np.uint32(16) & np.uint32(1)
    magnitude = np.minimum(magnitude + np.uint32(0x7FFF) + odd, _LARGEST_BF16 | np.uint32(0xFFFF))
    return (bits & np.uint32(0x8000_0000) | magnitude & np.uint32(0xFFFF_0000)).view(np.float32)


def bf16_bits(values: FloatArray) -> NDArray[np.uint16]:
    """The 16 bits of float32 values that are bf16 already. ValueError if one is not."""
    bits = np.ascontiguousarray(values, dtype=np.float32).view(np.uint32)
    if (bits & np.uint32(0xFFFF)).any():
        raise ValueError("values must be bf16, not float32 with more mantissa bits")
    return (bits >> np.uint32(16)).astype("<u2")


def from_bf16_bits(bits: NDArray[np.uint16]) -> FloatArray:
    """Widened bf16 values, float32, not cleaned."""
    return (bits.astype(np.uint32) << np.uint32(16)).view(np.float32)
