"""Vectors from memory to the vector buffer, as bits. Sources and destinations count elements."""

import numpy as np

from alula.model.kernels.arithmetic import clean
from alula.model.kernels.compiled import kernel


@kernel()
def load_fp32(memory, start, bits, dst, count, padded):
    """uint32 `memory` to the buffer's `bits`, cleaned; zeros up to `padded`."""
    for i in range(count):
        bits[dst + i] = clean(memory[start + i])
    for i in range(count, padded):
        bits[dst + i] = 0


@kernel()
def load_bf16(memory, start, bits, dst, count, padded):
    """uint16 `memory`, widened."""
    for i in range(count):
        bits[dst + i] = clean(np.uint32(memory[start + i]) << np.uint32(16))
    for i in range(count, padded):
        bits[dst + i] = 0
