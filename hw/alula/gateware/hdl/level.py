"""How full something is, where one enters and one leaves in a cycle."""

from dataclasses import dataclass

from amaranth.hdl import Cat, Const, Module, Signal, Value


@dataclass(frozen=True)
class Level:
    """Whether anything is held, and whether one more may be; registers."""

    some: Value
    room: Value


def level(m: Module, *, enters: Value, leaves: Value, most: int, name: str) -> Level:
    """Return how full something is that holds at most so many, at least 2.

    `enters` and `leaves` may come late in a cycle: what is held is counted in unary, so that a bit
    depends on those beside it alone.
    """
    held = Signal(most, name=name)
    with m.If(enters & ~leaves):
        m.d.sync += held.eq(Cat(Const(1, 1), held))
    with m.Elif(leaves & ~enters):
        m.d.sync += held.eq(held >> 1)
    return Level(held[0], ~held[-1])
