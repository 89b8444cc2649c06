"""What an instruction reads and writes, what its operands must be, and what else can go wrong.

All of it is plain data: formulas over the instruction's fields and a machine's sizes. The machine
model's checks, lock step's write sets, the compiler's dry run, random programs and the reference
are made from it.
"""

from dataclasses import dataclass
from enum import Enum, IntEnum
from functools import cached_property

from alula.design import GROUP, Design
from alula.isa.formula import Formula


class Space(IntEnum):
    """Where an instruction reads and writes; bytes count from 0 in each.

    VECTOR: 4 bytes an element. ACTIVATIONS: 32 bytes a slot, `T` slots a group. SIDES, written with
    them: a word of 8 bytes a slot: scale in bits 0..7, sum of the values in 8..21, exponent of the
    row in 22..31. STAGING: 512 bytes a row; SCALES, written with them: a word a row. MEMORY: as the
    host sees it. STREAM: the beats of one LD.W. REGISTER: what SYS puts into its register. BEST:
    the index that ARGMAX has found.
    """

    VECTOR = 0
    ACTIVATIONS = 1
    SIDES = 2
    STAGING = 3
    SCALES = 4
    MEMORY = 5
    STREAM = 6
    REGISTER = 7
    BEST = 8


BOUNDS = {
    Space.VECTOR: "words of the vector buffer",
    Space.ACTIVATIONS: "groups of the activation buffer",
    Space.STAGING: "rows of staging",
    Space.MEMORY: "beats of memory",
}
"""The spaces that an instruction can leave, and what their places are."""


CAPACITIES = {
    "WORDS": "words of the vector buffer",
    "GROUPS": "groups of the activation buffer",
    "STAGING": "bytes of staging",
    "BEATS": "beats of memory",
    "STREAM": "beats of the weight stream",
    "SCALES": "1 where rows of the format have a scale, else 0",
}
"""What formulas of effects know of a machine, beside `alula.isa.cycles.SIZES`."""


def sizes(design: Design) -> dict[str, int]:
    """What formulas of effects know of a machine."""
    return {
        "L": design.sfu.lanes,
        "T": design.mpe.tokens,
        "R": design.rows,
        "B": design.bytes_per_cycle,
        "WORDS": design.vector_words,
        "GROUPS": design.activation_groups,
        "STAGING": design.staging_bytes,
        "BEATS": design.channel_bytes // design.memory.beat_bytes,
        "STREAM": design.stream_beats,
    }


class Error(Enum):
    """Why an instruction cannot be executed."""

    UNDEFINED = "undefined behaviour"
    UNSUPPORTED = "unsupported"
    UNIMPLEMENTED = "unimplemented"
    OUT_OF_RANGE = "out of range"


ZERO, ONE = Formula("0"), Formula("1")


def _factor(formula: Formula) -> str:
    """The formula as a factor."""
    text = formula.text
    return text if text.isalnum() else f"({text})"


@dataclass(frozen=True)
class Range:
    """Rows of a space, the first at place `first`.

    Attributes:
        space: VECTOR counts words, ACTIVATIONS groups, STAGING rows, MEMORY beats.
        first: Where they begin: an operand, or a sum of some.
        count: What a row has: words, groups (also STAGING), or bytes (MEMORY, STREAM).
        rows: How many. Of ACTIVATIONS `T` rows share a place, as docs say of the activation buffer.
        stride: Places from one row to the next (VECTOR, MEMORY).
        skip: Rows before the first (ACTIVATIONS), bytes before it (MEMORY).
        part: Only some of it is touched: KV rows, whose bytes `alula.isa.kv` knows.
        gathered: It is row 0; memory holds which rows are read.
    """

    space: Space
    first: Formula = ZERO
    count: Formula = ONE
    rows: Formula = ONE
    stride: Formula = ZERO
    skip: Formula = ZERO
    part: bool = False
    gathered: bool = False

    @cached_property
    def places(self) -> Formula:
        """Places from `first` to the last one's end, where there are any."""
        match self.space:
            case Space.ACTIVATIONS:
                rows = self.rows if self.skip == ZERO else f"{self.skip} + {self.rows}"
                return Formula(f"ceil({rows}, T) * {_factor(self.count)}")
            case Space.STAGING:
                return self.rows
            case Space.MEMORY:
                skip = "" if self.skip == ZERO else f"{self.skip} + "
                last = f"ceil({skip}{self.count}, B)"
            case _:
                last = self.count.text
        if self.rows == ONE:
            return Formula(last)
        return Formula(f"({self.rows} - 1) * {_factor(self.stride)} + {last}")

    @cached_property
    def limit(self) -> Formula:
        """Places that there are; only of spaces in `BOUNDS`."""
        match self.space:
            case Space.STAGING:
                return Formula(f"STAGING // ({GROUP} * {_factor(self.count)} + 2)")
            case Space.VECTOR:
                return Formula("WORDS")
            case Space.ACTIVATIONS:
                return Formula("GROUPS")
        return Formula("BEATS")


@dataclass(frozen=True)
class Limit:
    """What a value must be: at least, at most, or a multiple (or, if `divides`, a divisor).

    Attributes:
        error: Where it is not.
        value: Of the fields.
        when: Only where this is not zero.
        name: What messages call the value; by default its formula.
        note: What messages add.
    """

    error: Error
    value: Formula
    least: Formula | None = None
    most: Formula | None = None
    multiple: Formula | None = None
    divides: bool = False
    when: Formula | None = None
    name: str = ""
    note: str = ""

    @property
    def label(self) -> str:
        """What messages call the value."""
        return self.name or self.value.text

    @property
    def broken(self) -> str:
        """A formula that is true where the limit is not kept, `when` not looked at."""
        value = _factor(self.value)
        if self.least:
            return f"{value} < {self.least}"
        if self.most:
            return f"{value} > {self.most}"
        step = f"({self.multiple})"
        rest = f"{value} < 1 or {value} % {step}"
        return f"{rest} and {step} % {value}" if self.divides else rest

    def words(self, number: str) -> str:
        """What the value must be; `number` formats the bound's formula."""
        if self.most == ZERO:
            text = "0"
        elif self.least or self.most:
            bound = self.least or self.most
            text = f"at {'least' if self.least else 'most'} {number.format(bound)}"
        else:
            text = f"a multiple of {number.format(self.multiple)}"
            text += " or divide it" if self.divides else ""
        return f"{text} {self.note}".rstrip()


@dataclass(frozen=True)
class Apart:
    """The range written at `first` must be the one read at `source`, or have no word of it."""

    first: str
    source: str
    when: Formula | None = None


@dataclass(frozen=True)
class DataFault:
    """An error that depends on data, which no formula over fields can express."""

    error: Error
    text: str


@dataclass(frozen=True)
class Effects:
    """Of an instruction.

    Where a count is zero (`Instruction.counts`) ranges are empty and need not exist; limits hold
    all the same. They are checked in this order: limits, what is read, what is written, apart.
    """

    reads: tuple[Range, ...] = ()
    writes: tuple[Range, ...] = ()
    limits: tuple[Limit, ...] = ()
    apart: tuple[Apart, ...] = ()
    faults: tuple[DataFault, ...] = ()

    def written(self, first: str) -> Range:
        """The range written at `first`; KeyError if there is none."""
        for one in self.writes:
            if one.first.text == first:
                return one
        raise KeyError(first)


NOTHING = Effects()

# Short forms, for declarations


def _range(
    space: Space, first: str, count: str, rows: str, stride: str = "0", skip: str = "0",
    *, part: bool = False, gathered: bool = False,
) -> Range:  # fmt: skip
    first_, count_, rows_, stride_, skip_ = map(Formula, (first, count, rows, stride, skip))
    return Range(space, first_, count_, rows_, stride_, skip_, part, gathered)


def words(first: str, count: str, rows: str = "1", stride: str = "0") -> Range:
    """Rows of so many words of the vector buffer, `stride` words apart."""
    return _range(Space.VECTOR, first, count, rows, stride)


def groups(first: str, count: str, rows: str, slot: str = "0") -> Range:
    """Rows of a matrix in the activation buffer, each of so many groups, from row `slot` on."""
    return _range(Space.ACTIVATIONS, first, count, rows, skip=slot)


def staging(first: str, count: str, rows: str) -> Range:
    """Rows of staging, of so many groups each."""
    return _range(Space.STAGING, first, count, rows)


def memory(
    first: str, count: str, rows: str = "1", stride: str = "0", skip: str = "0",
    *, part: bool = False, gathered: bool = False,
) -> Range:  # fmt: skip
    """Rows of so many bytes of memory, `stride` beats apart."""
    return _range(Space.MEMORY, first, count, rows, stride, skip, part=part, gathered=gathered)


def stream(blocks: str) -> Range:
    """The beats of so many row blocks in the weight stream."""
    return Range(Space.STREAM, count=Formula(f"B * beats({blocks}, groups)"))


def register(name: str = "rd") -> Range:
    """The register that a field names."""
    return Range(Space.REGISTER, Formula(name))


def best() -> Range:
    """What ARGMAX has found."""
    return Range(Space.BEST)


def _limit(
    error: Error, value: str, when: str, *, least: str = "", most: str = "", name: str = "",
    note: str = "",
) -> Limit:  # fmt: skip
    least_, most_, when_ = (Formula(text) if text else None for text in (least, most, when))
    return Limit(error, Formula(value), least_, most_, when=when_, name=name, note=note)


def at_most(
    value: str, most: object, error: Error = Error.OUT_OF_RANGE, when: str = "", name: str = "",
    note: str = "",
) -> Limit:  # fmt: skip
    """A limit above; beyond the design, if nothing else is said."""
    return _limit(error, value, when, most=str(most), name=name, note=note)


def at_least(value: str, least: object, when: str = "") -> Limit:
    """A limit below; what is less has no meaning."""
    return _limit(Error.UNDEFINED, value, when, least=str(least))


def multiple(value: str, of: str, when: str, *, divides: bool = False) -> Limit:
    """A multiple (or divisor) of a size: what else the contract allows is not built."""
    step, condition = Formula(of), Formula(when)
    return Limit(
        Error.UNIMPLEMENTED, Formula(value), multiple=step, divides=divides, when=condition
    )
