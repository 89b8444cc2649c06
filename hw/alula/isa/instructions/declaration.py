"""What an instruction's declaration consists of, and fields that several have."""

from dataclasses import dataclass
from enum import IntEnum

from alula.isa.cycles import EXACT, Cycles
from alula.isa.effects import NOTHING, DataFault, Effects, Error, Space
from alula.isa.fields import Choice, Field, Operand
from alula.isa.formats import FORMATS, PATTERNS
from alula.isa.formula import Formula


class Engine(IntEnum):
    """The six engines; the value is the bit of `wait` and `signal`."""

    LD = 0
    ST = 1
    MM = 2
    MV = 3
    MISC = 4
    SYS = 5


QUEUE_DEPTH = 16
"""Instructions that wait in front of an engine before the sequencer must."""
TOKEN_LIMIT = 255
"""Tokens that a counter between two engines holds."""


@dataclass(frozen=True)
class Instruction:
    """One instruction: its name, the engine that runs it, its code and its fields in bit order."""

    name: str
    engine: Engine
    opcode: int
    fields: tuple[Field, ...]
    doc: str
    cycles: Cycles
    effects: Effects = NOTHING

    def field(self, name: str) -> Field:
        """The field called `name`; KeyError if the instruction has none."""
        for field in self.fields:
            if field.name == name:
                return field
        raise KeyError(name)

    @property
    def counts(self) -> tuple[str, ...]:
        """Fields that count what there is to do; where one is zero nothing is done.

        None of ARGMAX, which may have to forget what it has found.
        """
        forgets = any(one.space is Space.BEST for one in self.effects.writes)
        return () if forgets else self.cycles.counts


def vector_word(name: str, doc: str) -> Operand:
    """An address in the vector buffer."""
    return Operand(name, 16, f"{doc}, vector buffer word")


ADDRESS = Operand("addr", 32, "memory address, beats")
ROWS = Operand("rows", 8, "rows")
FORMAT = Choice("fmt", (*FORMATS, *[""] * (16 - len(FORMATS))), "number format")
SPARSITY = Choice("nm", (*PATTERNS, *[""] * (8 - len(PATTERNS))), "N:M pattern")
TYPE = Choice("type", ("fp32", "bf16"), "element type in memory")

WEIGHT_FAULTS = (
    DataFault(Error.UNSUPPORTED, "`nm` must be dense on a design without `mpe.sparse`"),
    DataFault(Error.UNSUPPORTED, "`nm` must be dense where `fmt` is V8"),
)
"""Of instructions that name a weight format."""


def cycles(
    formula: str, *counts: str, idle: str | None = None, slack: str | None = EXACT.text
) -> Cycles:
    """The cycles of an instruction, from the texts of their formulas."""
    several = (Formula(text) if text else None for text in (idle, slack))
    return Cycles(Formula(formula), counts, *several)


def sync(engine: Engine, opcode: int, idle: str) -> Instruction:
    """The instruction of an engine that does nothing but wait and signal."""
    doc = "Wait and signal only: a place for tokens at the borders of a loop."
    return Instruction(f"{engine.name}.SYNC", engine, opcode, (), doc, cycles(idle))
