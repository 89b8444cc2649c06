"""What a cell of a netlist is to timing: arcs through it, where paths begin and where they end."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

Bits = list[int | str]


@dataclass(frozen=True)
class Cell:
    """A cell as Yosys writes it: its kind, parameters, and the nets at each port, bit by bit."""

    name: str
    kind: str
    parameters: Mapping[str, str]
    ports: Mapping[str, Bits]

    def parameter(self, name: str, default: int) -> int:
        """A parameter that is a number; TRUE counts as 1. ValueError: it is other text."""
        value = self.parameters.get(name)
        try:
            return number(value, default)
        except ValueError as error:
            raise ValueError(f"{self.kind}.{name} {error}") from None

    @property
    def shape(self) -> tuple[object, ...]:
        """All that its arcs follow from: not what a table or a memory holds."""
        chosen = tuple(item for item in self.parameters.items() if not item[0].startswith("INIT"))
        return self.kind, chosen, tuple((port, len(bits)) for port, bits in self.ports.items())


@dataclass(frozen=True)
class Arc:
    """Delays between the bits of two ports, ns.

    Attributes:
        start: input port; None where a clock edge begins the path.
        end: output port; None where a register behind the input ends it.
        delay: from each bit to each; an end's is its setup time.
        levels: LUT levels.
        start_bit, end_bit: one bit of the port instead of all.
        direct: the net in front is a wire of its own (a cascade), which takes no time.
    """

    start: str | None
    end: str | None
    delay: float
    levels: int = 0
    direct: bool = False
    start_bit: int | None = None
    end_bit: int | None = None


@dataclass(frozen=True)
class DelayModel:
    """What is known of a kind of cell.

    Attributes:
        arcs: from a cell to its arcs; they depend on its `Cell.shape` alone.
        clocks: pins that carry a clock: paths neither begin nor end there.
    """

    arcs: Callable[[Cell], Iterable[Arc]]
    clocks: tuple[str, ...] = ()


def number(value: str | None, default: int) -> int:
    """A parameter of Yosys: bits, or TRUE or FALSE. ValueError: it is other text."""
    if value is None:
        return default
    if value in ("TRUE", "FALSE"):
        return int(value == "TRUE")
    if not value or set(value) - {"0", "1"}:
        raise ValueError(f"must be a number in binary, TRUE or FALSE, not {value!r}")
    return int(value, 2)
