"""Left shifts that bring the highest one to the top."""

from amaranth.hdl import Cat, Const, Module, Mux, Signal, Value

from alula.gateware.arithmetic.shift import four_way


def normalise(m: Module, value: Value, *units: int) -> tuple[Value, Value]:
    """Shift `value` left, coarse steps first, so far that a one is among its top bits.

    Each step moves by 0 to 3 of its unit: a level of four-way multiplexers. How far the next step
    goes is found beside it, for each of its four outcomes. Combinational.

    Args:
        m: gets the logic.
        value: a number; if it is 0, so is the result.
        units: of the steps; each a fourth of the one before, and the first at least a fourth of
            the bits. After the last one, a one is among that many top bits.

    Returns:
        The value, as wide as before, and by how many of the last unit it was moved, in two bits
        for each unit.
    """
    digits: list[Value] = []
    found = [_digit(window, units[0]) for window in (value,)]
    for number, unit in enumerate(units):
        digit = Signal(2, name=f"move_{unit}")
        m.d.comb += digit.eq(four_way(found, digits[-1]) if digits else found[0])
        if number + 1 < len(units):
            after = (_window(value, unit, place) for place in range(4))
            found = [_digit(window, units[number + 1]) for window in after]
        moved = Signal(len(value), name=f"moved_{unit}")
        m.d.comb += moved.eq(four_way([value << place * unit for place in range(4)], digit))
        digits.append(digit)
        value = moved
    return value, Cat(reversed(digits))


def _window(value: Value, unit: int, place: int) -> Value:
    """The `place`th `unit` bits from the top, zeros where there are none."""
    high = len(value) - place * unit
    low = high - unit
    return Cat(Const(0, max(0, min(-low, unit))), value[max(low, 0) : max(high, 0)])


def _digit(value: Value, unit: int) -> Value:
    """Which of the top four units has the highest one; without meaning where none has."""
    first, second, third = (_window(value, unit, place).any() for place in range(3))
    high = ~(first | second)
    return Cat(Mux(high, ~third, ~first), high)
