"""Right shifts that remember whether anything was lost."""

from __future__ import annotations

from amaranth.hdl import Const, Module, Mux, Signal, Value

__all__ = ["shift_right"]


def shift_right(m: Module, value: Value, distance: Value) -> tuple[Value, Value]:
    """Shift `value` by `distance` bits; also say whether a one went out at the low end.

    Combinational, a level of multiplexers for each bit of `distance`. The first result is as wide
    as `value`, the second has one bit.
    """
    lost: Value = Const(0, 1)
    for bit in reversed(range(len(distance))):
        move = distance[bit]
        moved = Signal(len(value), name=f"moved_{1 << bit}")
        some = Signal(name=f"lost_{1 << bit}")
        m.d.comb += [
            moved.eq(Mux(move, value >> (1 << bit), value)),
            some.eq(lost | (move & value[: 1 << bit].any())),
        ]
        value, lost = moved, some
    return value, lost
