"""The SFU's tables as arrays for the kernels."""

import numpy as np

from alula.isa import functions


def _arguments(table: functions.Table) -> tuple[np.ndarray, int]:
    """int64 [segments, 2] and the bits of a step."""
    return np.array(table.coefficients, np.int64).T.copy(), table.step_bits


EXP2 = _arguments(functions.EXP2)
RECIP = _arguments(functions.RECIP)
RSQRT = _arguments(functions.RSQRT)
DISTRIBUTIONS = {
    table: (*_arguments(table), table.argument_bits, table.high) for table in functions.LOOKED_UP
}
"""Of each table of ACT what `distribution` takes: also the bits of a fraction, and the bound."""
