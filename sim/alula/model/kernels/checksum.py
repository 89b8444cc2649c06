"""The checksum of what an instruction wrote."""

import numpy as np

from alula.model.kernels.compiled import kernel

_GAMMA = np.uint64(0x9E3779B97F4A7C15)
_FIRST = np.uint64(0xBF58476D1CE4E5B9)
_SECOND = np.uint64(0x94D049BB133111EB)
_30, _27, _31 = np.uint64(30), np.uint64(27), np.uint64(31)


@kernel()
def mix(value):
    """One step of SplitMix64 (Steele, Lea and Flood, OOPSLA 2014): a bijection of 64 bits."""
    value = value + _GAMMA
    value = (value ^ (value >> _30)) * _FIRST
    value = (value ^ (value >> _27)) * _SECOND
    return value ^ (value >> _31)


@kernel()
def checksum(place, data, mask):
    """Sum over words of 8 bytes, modulo 2^64, of `mix(mix(mix(place) ^ data) ^ mask)`.

    It does not depend on their order. `place` says where a word lies, the bits of `mask` which of
    its bytes count; what does not count is zero in `data`. All uint64.
    """
    total = np.uint64(0)
    for i in range(place.size):
        total += mix(mix(mix(place[i]) ^ data[i]) ^ mask[i])
    return total
