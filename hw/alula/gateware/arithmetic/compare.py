"""Comparison with a constant."""

from amaranth.hdl import Value


def reaches(value: Value, bound: int) -> Value:
    """`value >= bound` of an unsigned value: of a power of two only the bits above it decide.

    Yosys makes a carry chain of the comparison itself.
    """
    if bound < 1:
        raise ValueError(f"bound must be at least 1, not {bound}")
    if bound & bound - 1:
        return value >= bound
    return value[bound.bit_length() - 1 :].any()
