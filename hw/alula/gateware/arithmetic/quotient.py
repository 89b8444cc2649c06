"""Multiplication and division by a constant, which need no multiplier."""

from amaranth.hdl import Const, Value


def multiple(value: Value, factor: int) -> Value:
    """`value * factor`: a sum of shifts."""
    if factor < 0:
        raise ValueError(f"factor must be at least 0, not {factor}")
    shifts = [shift for shift in range(factor.bit_length()) if factor >> shift & 1]
    return sum((value.shift_left(shift) for shift in shifts), Const(0, 0))


def quotient(value: Value, divisor: int) -> Value:
    """`value // divisor`: a shift for powers of two, a `multiple` for others."""
    if divisor < 1:
        raise ValueError(f"divisor must be at least 1, not {divisor}")
    low = (divisor & -divisor).bit_length() - 1
    odd, value = divisor >> low, value[low:]
    if odd == 1:
        return value
    width = len(value)
    shift = width + (odd - 1).bit_length()
    factor = -(-(1 << shift) // odd)
    return multiple(value, factor)[shift : shift + width]
