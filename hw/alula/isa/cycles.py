"""How long an instruction keeps its engine, as formulas over latencies the gateware declares.

Counted are the cycles in which its engine holds it, where it waits for nothing: the engine held
nothing before, and tokens, weights and places in buffers are there. Instructions that follow each
other overlap by a cycle.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from alula.isa.formula import Formula

SIZES = {
    "L": "fp32 lanes of the SFU",
    "T": "rows of activations that share a pass of the weights",
    "R": "rows of a row block, of all cores",
    "F": "results that finish in a cycle, of all cores",
    "B": "bytes of a beat, of all channels",
    "P": "segments of the weights' pattern, M / N; 1 for dense ones",
    "PORTS": "operands that the sequencer reads in a cycle",
    "OPERANDS": "operands and registers of an instruction that the sequencer reads",
    "HALVES": "cycles of a group in the matrix engine: 4 for 2:16, else 2",
    "BYTES": "bytes of an element in memory",
    "TABLE": "1 where the function has a table, else 0",
    "READ": "cycles from memory's taking a read to its first beat",
    "ACK": "cycles from memory's taking a write's last beat to its answer",
}
"""What formulas know of a machine, of an instruction's choices and of the memory."""

LATENCIES = {
    "ADD": "an fp32 sum, its operands chosen before",
    "MULTIPLY": "an fp32 product, its operands chosen before",
    "FUNCTION": "a function of one variable, its argument chosen before",
    "ROOT": "a reciprocal or a reciprocal root",
    "NORM": "from a sum of squares to the reciprocal root",
    "KV": "from a row's largest value to the reciprocal of its scale",
    "MISC": "the SFU, its clock standing, takes an instruction and says that it is done",
    "MISC_IDLE": "the SFU with nothing to do",
    "PASS": "a pass of the SFU is set up and its first word is read",
    "OPERAND": "a second operand waits for the first, where both are in one bank",
    "RESULT": "a word of results leaves the lanes",
    "ROTATE": "two words are gathered for a rotation",
    "WRITE": "a word of the SFU enters the queue of results and leaves it",
    "PACK": "fp32 to int8, and the block of 16 leaves",
    "SUM": "the tree over 64 partial sums, after the last word",
    "MAX": "the largest value, after the last word",
    "TURN": "a reduction's result reaches the lanes",
    "ROW": "the SFU goes on to the next row",
    "PRODUCT": "the matrix engine takes a product and reports it",
    "MPE": "from a row block's last weights to its first results",
    "LOAD": "LD takes an instruction, asks memory, hands the last word on and reports it",
    "LOAD_IDLE": "LD with nothing to load",
    "STORE": "ST takes an instruction, asks for the first word and reports the last answer",
    "STORE_IDLE": "ST with nothing to store",
    "RUN": "ST looks where some bytes of a beat go",
    "MPE_IDLE": "the matrix engine with nothing to multiply",
    "EXECUTE": "the sequencer reads operands and executes",
    "REGISTER": "the sequencer writes a register",
    "TIMES": "a product in the sequencer, beyond that",
    "DIVIDE": "a quotient in the sequencer, beyond that",
    "REDIRECT": "the sequencer leaves the straight line",
}
"""What the gateware must declare: `alula.gateware.top.latencies` has the numbers, in cycles."""


EXACT = Formula("0")


@dataclass(frozen=True)
class Cycles:
    """Cycles of an instruction.

    Attributes:
        formula: Where there is something to do.
        counts: Fields that count what there is to do; where one is zero there is nothing.
        idle: Where there is nothing to do.
        slack: It may take so many more. None: any number; the formulas are bounds.
    """

    formula: Formula
    counts: tuple[str, ...] = ()
    idle: Formula | None = None
    slack: Formula | None = EXACT

    def __call__(self, values: Mapping[str, int]) -> int:
        """The least, where each name of the formulas has a value."""
        if self.idle is not None and not all(values[count] for count in self.counts):
            return self.idle(values)
        return self.formula(values)

    @property
    def names(self) -> frozenset[str]:
        """What must have a value."""
        formulas = (self.formula, self.idle, self.slack)
        return frozenset().union(*(formula.names for formula in formulas if formula))

    def __str__(self) -> str:
        text = f"`{self.formula}`"
        if self.slack is None:
            text = f"at least {text}"
        elif self.slack != EXACT:
            text = f"{text}, at most `{self.slack}` more"
        if self.idle is None:
            return text
        return f"{text}; `{self.idle}` where {' or '.join(self.counts)} is 0"


DISPATCH = Cycles(Formula("EXECUTE + max(0, ceil(OPERANDS, PORTS) - 1)"))
"""What the sequencer takes to hand an instruction to an engine with room in its queue."""
