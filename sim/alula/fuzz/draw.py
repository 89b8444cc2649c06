"""What every instruction of a random program is drawn from: numbers, registers, ranges of words."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from random import Random
from typing import NamedTuple

import numpy as np

from alula.design import Design
from alula.fuzz.memory import Places
from alula.fuzz.text import Part
from alula.isa import Ref
from alula.isa.encoding import Value
from alula.isa.fields import REGISTER_MASK, REGISTERS, Choice, Operand
from alula.isa.formats import GROUP
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

    def apart(self, other: Words) -> bool:
        """Whether they have no word in common."""
        return self.start + self.words <= other.start or other.start + other.words <= self.start

    def rest(self, first: int) -> Words:
        """It without its first words."""
        operand = self.operand
        if isinstance(operand, Ref):
            moved = Ref(operand.register, operand.offset + first)
        else:
            assert isinstance(operand, int)
            moved = operand + first
        return Words(moved, self.start + first, self.words - first)


@dataclass(frozen=True)
class Loop:
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

    def __init__(self, design: Design, places: Places, random: Random) -> None:
        self.design, self.places, self.random = design, places, random
        self.lanes = design.sfu.lanes
        longest = -(-max(area.groups for area in places.areas) * GROUP // self.lanes)
        self.space = min(design.vector_words, max(longest, random.choice((256, 1024, 1 << 16))))
        self.group = 0
        self.loops: list[Loop] = []
        self.constants = {register: self.constant() for register in _CONSTANTS}
        self.constants[INV] = self._positive()
        self.constants[EPS] = self._positive()

    @contextmanager
    def inside(self, loop: Loop) -> Iterator[None]:
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

    # Parts

    def part(
        self, name: str, reads: Iterable[str] = (), writes: Iterable[str] = (), **values: Value
    ) -> Part:
        """An instruction whose operands are as given."""
        return Part(self.group, name, values, frozenset(reads), frozenset(writes))

    def parts(
        self,
        name: str,
        values: Mapping[str, Value],
        reads: Iterable[str] = (),
        writes: Iterable[str] = (),
    ) -> list[Part]:
        """An instruction, and what brings the registers about that its operands are given."""
        before, made = self.operands(name, values, self.group)
        return [*before, self.part(name, reads, writes, **made)]

    def operands(
        self, name: str, values: Mapping[str, Value], group: int
    ) -> tuple[list[Part], dict[str, Value]]:
        """Give operands that are plain numbers a register too, at times or where they need one."""
        before: list[Part] = []
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
                before.append(Part(group, "LI", loaded))
                made[field.name] = Ref(register, offset)
        return before, made

    def _any(self, field: object) -> Value:
        """A code of a choice that does not matter."""
        if not isinstance(field, Choice):
            return 0
        return self.random.choice([one for one in field.choices if one])

    # Ranges, and the names that dependencies know them by

    def words(self, words: int, *apart: Words) -> Words:
        """A range of the vector buffer that meets none of some others, maybe moved by a loop.

        NoRoom if none was found.
        """
        for _ in range(50):
            loop = self.random.choice(self.loops) if self.loops else Loop(0, 0, 1)
            if self.random.random() < 0.4:
                loop = Loop(0, 0, 1)
            span = words + max(0, loop.count - 1) * loop.step
            if span > self.space:
                continue
            start = self.random.randint(0, self.space - span)
            operand = Ref(loop.register, start) if loop.register else start
            found = Words(operand, start, span)
            if all(found.apart(other) for other in apart):
                return found
        raise NoRoom

    def same_or_apart(self, words: int, source: Words, *others: Words) -> Words:
        """A destination as the contract wants it: its source, or apart from it."""
        if self.random.random() < 0.4 and all(source.apart(other) for other in others):
            return source
        return self.words(words, source, *others)

    def vector(self, *ranges: Words) -> list[str]:
        """Names of the pieces of the vector buffer that ranges touch."""
        piece = -(-self.design.vector_words // _CHUNKS)
        return [
            f"v{index}"
            for one in ranges
            for index in range(one.start // piece, -(-(one.start + max(one.words, 1)) // piece))
        ]

    def stored(self, addr: int, beats: int) -> list[str]:
        """Names of the pieces of the store that beats touch; none if they are only read."""
        store = self.places.store
        if not store.start <= addr < store.end:
            return []
        piece = -(-store.beats // _CHUNKS)
        first, last = addr - store.start, addr - store.start + max(beats, 1)
        return [f"m{index}" for index in range(first // piece, -(-last // piece))]

    def piece(self) -> str:
        """The name of something that dependencies are told apart by."""
        return self.random.choice([f"v{self.random.randrange(_CHUNKS)}", "best", "staging"])


Maker = Callable[[Draw], list[Part]]
"""Draws one instruction, with the parts that bring its operands about. NoRoom if it cannot be."""
