"""Delay lines."""

from typing import Any

from amaranth.hdl import Module, Signal


def delayed(
    m: Module, value: Any, cycles: int, *, name: str, reset_less: bool = False
) -> list[Any]:
    """Return a value (or a view) as it is, and as it was each of 1 to `cycles` cycles before."""
    line = [value]
    for number in range(1, cycles + 1):
        line.append(Signal(value.shape(), name=f"{name}_{number}", reset_less=reset_less))
        m.d.sync += line[-1].eq(line[-2])
    return line
