"""fp32 constants in registers."""

from functools import lru_cache

import numpy as np

from alula.model.kernels.arithmetic import clean


@lru_cache(maxsize=256)
def from_register(bits: int) -> np.float32:
    """The value of a register read as fp32, cleaned as if it came from memory."""
    return np.array([clean(np.uint32(bits))], np.uint32).view(np.float32)[0]
