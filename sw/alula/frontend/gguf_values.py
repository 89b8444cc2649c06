"""Stored weights of a GGUF file as floats, whatever their type."""

from functools import cache

import numpy as np
from gguf.constants import GGML_QUANT_SIZES, GGMLQuantizationType
from gguf.quants import dequantize
from numpy.typing import NDArray

_SCALE_BYTES = 2

_PLAIN = {
    GGMLQuantizationType.F16: "<f2",
    GGMLQuantizationType.F32: "<f4",
    GGMLQuantizationType.F64: "<f8",
}


@cache
def readable(kind: GGMLQuantizationType) -> bool:
    """Whether a weight type's values can be had as floats."""
    _, size = GGML_QUANT_SIZES[kind]
    try:
        values(np.zeros((1, size), dtype=np.uint8), kind)
    except NotImplementedError:
        return False
    return True


def values(rows: NDArray[np.uint8], kind: GGMLQuantizationType) -> NDArray[np.float32]:
    """Rows of whole blocks as float32. NotImplementedError for types that hold no weights.

    Garbage in a scale may overflow here; `Checkpoint.tensor` then refuses what is not finite.
    """
    with np.errstate(all="ignore"):
        if kind in _PLAIN:
            return rows.view(_PLAIN[kind]).astype(np.float32)
        if kind is GGMLQuantizationType.Q1_0:
            return _signs(rows)
        return np.asarray(dequantize(rows, kind), dtype=np.float32)


def _signs(rows: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Q1_0, which the gguf package does not know yet: a fp16 scale, then a sign bit a weight.

    Bits come from the lowest on; 1 is the scale, 0 its negative (llama.cpp, pull request 21273).
    """
    _, size = GGML_QUANT_SIZES[GGMLQuantizationType.Q1_0]
    blocks = rows.reshape(-1, size)
    scales = blocks[:, :_SCALE_BYTES].copy().view(np.float16).astype(np.float32)
    bits = np.unpackbits(blocks[:, _SCALE_BYTES:], axis=1, bitorder="little")
    return np.where(bits == 1, scales, -scales).reshape(*rows.shape[:-1], -1)
