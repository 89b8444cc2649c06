"""What every instruction of a random program is drawn from: numbers, registers, ranges of words."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from random import Random
from typing import Any, NamedTuple

import numpy as np

from alula.design import GROUP, Design
from alula.fuzz.memory import DrawnMemory
from alula.fuzz.text import Piece
from alula.isa import Instruction, Ref
from alula.isa.effects import ZERO, Range, Space, sizes
from alula.isa.encoding import Value
from alula.isa.fields import REGISTER_MASK, REGISTERS, Choice, Flag, Operand
from alula.isa.formula import numbers
from alula.isa.instructions import BY_NAME, INSTRUCTIONS, LOOP_DEPTH

_CHUNKS = 64
"""Pieces of the vector buffer and of the store that dependencies are told apart by."""

# Registers: constants, what addresses are made in, loops, and those of random arithmetic.
_CONSTANTS = range(1, 9)
INV, EPS = 9, 10
_TEMPORARY = range(11, 17)
LOOPS = range(17, 17 + LOOP_DEPTH)
FREE = range(17 + LOOP_DEPTH, REGISTERS)

_BARE = max(
    sum(isinstance(field, Operand) and not field.bits for field in one.fields)
    for one in INSTRUCTIONS
)
"""Operands of an instruction that are a register and nothing else, at most."""


class NoRoom(Exception):
    """No such range of the vector buffer was found."""


class Words(NamedTuple):
    """A range of the vector buffer: its operand, and all the words that it takes over time."""

    operand: Value
    start: int
    words: int

    def apart(self, other: "Words") -> bool:
        """Whether they have no word in common."""
        return self.start + self.words <= other.start or other.start + other.words <= self.start

    def rest(self, first: int) -> "Words":
        """It without its first words."""
        operand = self.operand
        if isinstance(operand, Ref):
            moved = Ref(operand.register, operand.offset + first)
        else:
            assert isinstance(operand, int)
            moved = operand + first
        return Words(moved, self.start + first, self.words - first)


Fields = dict[str, Value | Words]
"""An instruction's fields, as many as are known."""


@dataclass(frozen=True)
class DrawnLoop:
    """A loop around what is drawn: `register` grows by `step` in each of `count` iterations."""

    register: int
    step: int
    count: int


class Draw:
    """Draws operands, and parts of them. Its state is the group of the next part and the loops.

    Attributes:
        design, places, random: what programs are for, where they may read and write, and chance.
        lanes: values of a word of the vector buffer.
        space: words of it that the program works on, a row of any area at least.
        group: of the parts that are drawn now.
        loops: around them, outermost first.
        constants: values of registers.
    """

    def __init__(self, design: Design, places: DrawnMemory, random: Random) -> None:
        self.design, self.places, self.random = design, places, random
        self.lanes = design.sfu.lanes
        longest = -(-max(area.groups for area in places.areas) * GROUP // self.lanes)
        self.space = min(design.vector_words, max(longest, random.choice((256, 1024, 1 << 16))))
        self._sizes = sizes(design)
        self.group = 0
        self.loops: list[DrawnLoop] = []
        self.constants = {register: self.constant() for register in _CONSTANTS}
        self.constants[INV] = self._positive()
        self.constants[EPS] = self._positive()

    @contextmanager
    def inside(self, loop: DrawnLoop) -> Iterator[None]:
        """What the block draws is in a loop's body."""
        self.loops.append(loop)
        yield
        self.loops.pop()

    # Numbers

    def constant(self) -> int:
        """A register's value."""
        kind = self.random.random()
        if kind < 0.4:
            return self.random.randint(0, 600)
        if kind < 0.7:
            return REGISTER_MASK - self.random.randint(0, 600)
        return self.random.getrandbits(32)

    def _positive(self) -> int:
        """Bits of a number that is not negative: of any size, or any at all."""
        if self.random.random() < 0.2:
            return self.random.getrandbits(31)
        value = np.float32(2.0 ** self.random.uniform(-24, 2))
        return int(value.view(np.uint32))

    def count(self, most: int) -> int:
        """A number up to `most`: often small, now and then none or all."""
        kind = self.random.random()
        if kind < 0.05:
            return 0
        if kind < 0.1:
            return most
        return self.random.randint(1, min(most, self.random.choice((3, 20, 300))))

    def multiple(self, step: int, most: int) -> int:
        """A multiple of `step` up to `most`, not zero."""
        return step * self.random.randint(1, most // step)

    def number(self) -> Ref:
        """Any register's value and any number."""
        return Ref(self.random.randrange(REGISTERS), self.constant())

    # Pieces

    def make(
        self, name: str, reads: Iterable[str] = (), writes: Iterable[str] = (), **values: Value
    ) -> Piece:
        """An instruction whose operands are as given."""
        return Piece(self.group, name, values, frozenset(reads), frozenset(writes))

    def instruction(self, name: str, values: Fields) -> list[Piece]:
        """An instruction, and what brings the registers about that its operands are given.

        Ranges of the vector buffer that `values` do not name are drawn, as long as the instruction
        declares them. What it declares is also what its dependencies follow from. NoRoom if no such
        ranges were found.
        """
        instruction = BY_NAME[name]
        known = self._sizes | numbers(values)
        placed = self._placed(instruction, known)
        reads, writes = (
            [piece for one in ranges for piece in self._touched(one, instruction, known, placed)]
            for ranges in (instruction.effects.reads, instruction.effects.writes)
        )
        plain = {field: one for field, one in values.items() if not isinstance(one, Words)}
        plain |= {field: one.operand for field, one in placed.items()}
        before, made = self.operands(name, plain, self.group)
        return [*before, self.make(name, reads, writes, **made)]

    def width(self, name: str, values: Fields) -> int:
        """Words of the longest row that an instruction with such counts reads or writes."""
        known = self._sizes | numbers({"stride": 0, **values})
        ranges = _vectors(BY_NAME[name].effects.reads), _vectors(BY_NAME[name].effects.writes)
        return max(one.count(known) for several in ranges for one in several if one.stride != ZERO)

    def _placed(self, instruction: Instruction, known: Mapping[str, Any]) -> dict[str, Words]:
        """A range for each operand that is a word of the vector buffer.

        What is written meets nothing else, or is a source that it may be.
        """
        effects = instruction.effects
        needed: dict[str, int] = {}
        for one in _vectors((*effects.reads, *effects.writes)):
            places = self._places(one, instruction, known)
            needed[one.first.text] = max(needed.get(one.first.text, 0), places)
        written = {one.first.text for one in _vectors(effects.writes)}
        replaced = written & {one.first.text for one in _vectors(effects.reads)}
        placed: dict[str, Words] = {}
        for field in sorted(needed, key=lambda field: (field in written) - 2 * (field in replaced)):
            given = known.get(field)
            if given is not None:
                start = given if isinstance(given, int) else 0
                words = Words(start, start, needed[field])
                placed[field] = given if isinstance(given, Words) else words
                continue
            others = [one for name, one in placed.items() if {name, field} & written]
            same = [
                placed[apart.source]
                for apart in effects.apart
                if apart.first == field and (not apart.when or apart.when(known))
            ]
            placed[field] = self.words(needed[field], others, same)
        return placed

    def _places(self, one: Range, instruction: Instruction, known: Mapping[str, Any]) -> int:
        """Places that a range takes; none where a count is zero."""
        counted = all(known[field] for field in instruction.counts) and one.count(known) > 0
        return one.places(known) if counted else 0

    def _touched(
        self, one: Range, instruction: Instruction, known: Mapping[str, Any],
        placed: Mapping[str, Words],
    ) -> list[str]:  # fmt: skip
        """Names that dependencies know a range by."""
        match one.space:
            case Space.VECTOR:
                return self.vector(placed[one.first.text])
            case Space.ACTIVATIONS:
                group = one.first(known)
                return [area.name for area in self.places.areas if area.holds(group)]
            case Space.MEMORY:
                return self.stored(one.first(known), self._places(one, instruction, known))
            case Space.STAGING | Space.BEST:
                return [one.space.name.lower()]
        return []

    def operands(
        self, name: str, values: Mapping[str, Value], group: int
    ) -> tuple[list[Piece], dict[str, Value]]:
        """Give operands that are plain numbers a register too, at times or where they need one."""
        before: list[Piece] = []
        made: dict[str, Value] = {}
        temporary = self.random.sample(_TEMPORARY, len(_TEMPORARY))
        for field in BY_NAME[name].fields:
            value = values.get(field.name, 0)
            if not isinstance(field, Operand) or not isinstance(value, int):
                made[field.name] = value if field.name in values else self._any(field)
                continue
            limit = 1 << field.bits
            near = [
                Ref(register, offset)
                for register, constant in self.constants.items()
                if (offset := value - constant & REGISTER_MASK) < limit
            ]
            if near and self.random.random() < 0.5:
                made[field.name] = self.random.choice(near)
            elif value < limit and (len(temporary) <= _BARE or self.random.random() < 0.9):
                made[field.name] = value
            else:
                register = temporary.pop()
                offset = self.random.randrange(limit)
                loaded = {"rd": register, "value": value - offset & REGISTER_MASK}
                before.append(Piece(group, "LI", loaded))
                made[field.name] = Ref(register, offset)
        return before, made

    def _any(self, field: object) -> Value:
        """A value of a choice or flag that does not matter."""
        if isinstance(field, Flag):
            return self.random.choice((False, True))
        if not isinstance(field, Choice):
            return 0
        return self.random.choice([one for one in field.choices if one])

    # Ranges, and the names that dependencies know them by

    def words(self, words: int, others: Iterable[Words] = (), same: Sequence[Words] = ()) -> Words:
        """A range of the vector buffer that meets none of some others, maybe moved by a loop.

        It may also be one of `same` that meets none of the rest. NoRoom if none was found.
        """
        if same and self.random.random() < 0.4:
            found = self.random.choice(same)
            if all(found.apart(other) for other in others if other is not found):
                return found
        for _ in range(50):
            loop = self.random.choice(self.loops) if self.loops else DrawnLoop(0, 0, 1)
            if self.random.random() < 0.4:
                loop = DrawnLoop(0, 0, 1)
            span = words + max(0, loop.count - 1) * loop.step
            if span > self.space:
                continue
            start = self.random.randint(0, self.space - span)
            operand = Ref(loop.register, start) if loop.register else start
            found = Words(operand, start, span)
            if all(found.apart(other) for other in others):
                return found
        raise NoRoom

    def vector(self, one: Words) -> list[str]:
        """Names of the pieces of the vector buffer that a range touches."""
        piece = -(-self.design.vector_words // _CHUNKS)
        return [
            f"v{index}"
            for index in range(one.start // piece, -(-(one.start + max(one.words, 1)) // piece))
        ]

    def stored(self, addr: int, beats: int) -> list[str]:
        """Names of the KV cache or of the pieces of the store that beats touch; none of others."""
        if self.places.cache.holds(addr):
            return ["cache"]
        store = self.places.store
        if not store.start <= addr < store.end:
            return []
        piece = -(-store.beats // _CHUNKS)
        first, last = addr - store.start, addr - store.start + max(beats, 1)
        return [f"m{index}" for index in range(first // piece, -(-last // piece))]

    def resource(self) -> str:
        """The name of something that dependencies are told apart by."""
        return self.random.choice([f"v{self.random.randrange(_CHUNKS)}", "best", "staging"])


def _vectors(ranges: Iterable[Range]) -> Iterator[Range]:
    """Those in the vector buffer."""
    return (one for one in ranges if one.space is Space.VECTOR)


Maker = Callable[[Draw], list[Piece]]
"""Draws one instruction, with the parts that bring its operands about. NoRoom if it cannot be."""
