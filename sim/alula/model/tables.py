"""The SFU's tables as arrays for the kernels."""

from __future__ import annotations

import numpy as np

from alula.isa import functions

__all__ = ["ACT_TABLES", "EXP2", "RECIP", "RSQRT"]


def _arguments(table: functions.Table) -> tuple[np.ndarray, int]:
    """int64 [segments, 2] and the bits of a step."""
    return np.array(table.coefficients, np.int64).T.copy(), table.step_bits


EXP2 = _arguments(functions.EXP2)
RECIP = _arguments(functions.RECIP)
RSQRT = _arguments(functions.RSQRT)
_SIGMOID = _arguments(functions.SIGMOID)
ACT_TABLES = {
    "silu": _SIGMOID,
    "gelu": _arguments(functions.PHI),
    "gelu_tanh": _arguments(functions.PHI_TANH),
    "relu": _SIGMOID,
}
"""Each of ACT's functions with the table it looks up (relu none: any will do)."""
