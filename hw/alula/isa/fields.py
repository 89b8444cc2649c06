"""The kinds of operand an instruction can have: plain data, no behaviour but their width."""

from dataclasses import dataclass

REGISTERS = 32
REGISTER_BITS = 5
REGISTER_MASK = 0xFFFF_FFFF


@dataclass(frozen=True)
class Operand:
    """A value `R[register] + immediate`, resolved by the sequencer at dispatch.

    `bits` is the width of the immediate; 0 makes it a bare register. The sum wraps at 32 bits.
    """

    name: str
    bits: int
    doc: str

    @property
    def width(self) -> int:
        """Encoded width in bits."""
        return REGISTER_BITS + self.bits


@dataclass(frozen=True)
class RegisterField:
    """A register that the sequencer reads or writes itself."""

    name: str
    doc: str

    @property
    def width(self) -> int:
        """Encoded width in bits."""
        return REGISTER_BITS


@dataclass(frozen=True)
class Immediate:
    """A constant, unsigned unless `signed`."""

    name: str
    bits: int
    doc: str
    signed: bool = False

    @property
    def width(self) -> int:
        """Encoded width in bits."""
        return self.bits


class Flag(Immediate):
    """Yes or no, a bool: one bit, written 0 or 1."""

    def __init__(self, name: str, doc: str) -> None:
        super().__init__(name, 1, doc)


@dataclass(frozen=True)
class Choice:
    """One of a few names; a name's position is its code, "" is a reserved code."""

    name: str
    choices: tuple[str, ...]
    doc: str

    @property
    def width(self) -> int:
        """Encoded width in bits."""
        return max(1, (len(self.choices) - 1).bit_length())


Field = Operand | RegisterField | Immediate | Choice
