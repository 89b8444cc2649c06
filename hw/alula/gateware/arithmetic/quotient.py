"""Multiplication and division by a constant, which need no multiplier."""

from amaranth.hdl import Const, Mux, Value


def multiple(value: Value, factor: int) -> Value:
    """`value * factor`: a sum of shifts."""
    if factor < 0:
        raise ValueError(f"factor must be at least 0, not {factor}")
    shifts = [shift for shift in range(factor.bit_length()) if factor >> shift & 1]
    return sum((value.shift_left(shift) for shift in shifts), Const(0, 0))


def quotient(value: Value, divisor: int) -> Value:
    """`value // divisor`: a shift for powers of two, a `multiple` for others."""
    low, odd = _factors(divisor)
    value = value[low:]
    if odd == 1:
        return value
    shift, factor = _inverse(odd, len(value))
    return multiple(value, factor)[shift : shift + len(value)]


def quotient_up(value: Value, divisor: int) -> Value:
    """`ceil(value / divisor)`: what rounds up is an addend of the `multiple`, not of `value`."""
    low, odd = _factors(divisor)
    rest, value = value[:low].any(), value[low:]
    if odd == 1:
        return value + rest
    width = len(Const((1 << len(value)) - 1 + odd))
    shift, factor = _inverse(odd, width)
    up = Mux(rest, odd * factor, (odd - 1) * factor)
    return (multiple(value, factor) + up)[shift : shift + width]


def _factors(divisor: int) -> tuple[int, int]:
    """A divisor's exponent of two, and its odd factor."""
    if divisor < 1:
        raise ValueError(f"divisor must be at least 1, not {divisor}")
    low = (divisor & -divisor).bit_length() - 1
    return low, divisor >> low


def _inverse(odd: int, width: int) -> tuple[int, int]:
    """`shift` and `factor`: a number of `width` bits over `odd` is `number * factor >> shift`."""
    shift = width + (odd - 1).bit_length()
    return shift, -(-(1 << shift) // odd)
