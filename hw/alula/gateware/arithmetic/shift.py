"""Right shifts that remember whether anything was lost."""

from amaranth.hdl import Const, Module, Mux, Signal, Value


def four_way(values: list[Value], choice: Value) -> Value:
    """One of four values: a look-up table of six inputs for each bit."""
    low, high = (Mux(choice[0], values[place + 1], values[place]) for place in (0, 2))
    return Mux(choice[1], high, low)


def shift_right(m: Module, value: Value, distance: Value) -> tuple[Value, Value]:
    """Shift `value` by `distance` bits; also say whether a one went out at the low end.

    Combinational, a level of four-way multiplexers for each two bits of `distance`, coarse ones
    first. The first result is as wide as `value`, the second has one bit.
    """
    lost: Value = Const(0, 1)
    high = len(distance)
    while high:
        low = max(0, high - 2)
        choice = distance[low:high]
        ways = [value >> (place << low) for place in range(1 << high - low)]
        gone = [value[: place << low].any() for place in range(1 << high - low)]
        moved = Signal(len(value), name=f"moved_{low}")
        some = Signal(name=f"lost_{low}")
        if high - low == 2:
            m.d.comb += [
                moved.eq(four_way(ways, choice)),
                some.eq(lost | four_way([Const(0, 1), *gone[1:]], choice)),
            ]
        else:
            m.d.comb += [moved.eq(Mux(choice, ways[1], ways[0])), some.eq(lost | choice & gone[1])]
        value, lost, high = moved, some, low
    return value, lost
