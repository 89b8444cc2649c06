"""Strings of narrow values as bytes, lowest bits first."""

from math import gcd

import numpy as np
from numpy.typing import NDArray

Bytes = NDArray[np.uint8]


def _word(bits: int) -> tuple[int, int, type[np.unsignedinteger]]:
    """Values and bytes of the smallest run that fills whole bytes, and a type that holds it."""
    shared = gcd(8, bits)
    size = bits // shared
    return 8 // shared, size, np.uint8 if size == 1 else np.uint32


def to_bits(values: Bytes, bits: int) -> Bytes:
    """Bytes ``[..., n * bits / 8]`` of values ``[..., n]`` of 2, 3, 4 or 8 bits; 8 divides n."""
    count, size, kind = _word(bits)
    if count == 1:
        return values
    runs = values.reshape(*values.shape[:-1], -1, count)
    words = np.zeros(runs.shape[:-1], kind)
    for i in range(count):
        words |= runs[..., i].astype(kind, copy=False) << kind(bits * i)
    if size == 1:
        return words
    return np.ascontiguousarray(words[..., None].view(np.uint8)[..., :size]).reshape(
        *values.shape[:-1], -1
    )


def from_bits(data: Bytes, bits: int) -> Bytes:
    """The inverse of `to_bits`: values ``[..., n]`` of bytes ``[..., n * bits / 8]``."""
    count, size, kind = _word(bits)
    if count == 1:
        return data
    runs = data.reshape(*data.shape[:-1], -1, size)
    words = np.zeros(runs.shape[:-1], kind)
    for i in range(size):
        words |= runs[..., i].astype(kind, copy=False) << kind(8 * i)
    values = [(words >> kind(bits * i)) & kind((1 << bits) - 1) for i in range(count)]
    return np.stack(values, axis=-1).astype(np.uint8).reshape(*data.shape[:-1], -1)
