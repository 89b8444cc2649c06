"""Division by a constant."""

from __future__ import annotations

from amaranth.hdl import Value

__all__ = ["quotient"]


def quotient(value: Value, divisor: int) -> Value:
    """`value // divisor`: a shift for powers of two, a multiplication for others."""
    if divisor < 1:
        raise ValueError(f"divisor must be at least 1, not {divisor}")
    low = (divisor & -divisor).bit_length() - 1
    odd, value = divisor >> low, value[low:]
    if odd == 1:
        return value
    width = len(value)
    shift = width + (odd - 1).bit_length()
    factor = -(-(1 << shift) // odd)
    return (value * factor)[shift : shift + width]
