"""What a cell of a netlist is to timing: arcs through it, where paths begin and where they end."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

__all__ = ["Arc", "Cell", "Model", "number"]

Bits = list[int | str]


@dataclass(frozen=True)
class Cell:
    """A cell as Yosys writes it: its kind, parameters, and the nets at each port, bit by bit."""

    name: str
    kind: str
    parameters: Mapping[str, str]
    ports: Mapping[str, Bits]

    def parameter(self, name: str, default: int) -> int:
        """A parameter that is a number; text counts as 1 if it is TRUE."""
        return number(self.parameters.get(name), default)


@dataclass(frozen=True)
class Arc:
    """Delays between the bits of two ports, ns.

    Attributes:
        start: Input port; None where a clock edge begins the path.
        end: Output port; None where a register behind the input ends it.
        delay: From each bit to each; an end's is its setup time.
        levels: LUT levels.
        start_bit, end_bit: One bit of the port instead of all.
        direct: The net in front is a wire of its own (a cascade), which takes no time.
    """

    start: str | None
    end: str | None
    delay: float
    levels: int = 0
    direct: bool = False
    start_bit: int | None = None
    end_bit: int | None = None

    def nets(self, cell: Cell) -> tuple[Bits, Bits]:
        """Bits of the input and of the output."""
        return _bits(cell, self.start, self.start_bit), _bits(cell, self.end, self.end_bit)


Model = Callable[[Cell], Iterable[Arc]]
"""The arcs of a cell of some kind."""


def number(value: str | None, default: int) -> int:
    """A parameter of Yosys: bits, or text."""
    if value is None:
        return default
    if value in ("TRUE", "FALSE"):
        return int(value == "TRUE")
    return int(value, 2) if value and set(value) <= {"0", "1"} else default


def _bits(cell: Cell, port: str | None, bit: int | None) -> Bits:
    bits = cell.ports.get(port, []) if port else []
    return bits if bit is None else bits[bit : bit + 1]
