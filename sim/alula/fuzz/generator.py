"""Random legal programs.

Each instruction of the ISA has a maker, which draws its fields so that no rule of
docs/architecture.md is broken: ranges exist, destinations are sources or apart from them, streams
are taken as they were pushed, KV rows lie in their cache. Which engine must wait for which follows
from what the parts touch. What makes a program legal is kept when any group of it is left out.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import partial
from random import Random
from typing import NamedTuple

import numpy as np

from alula.design import Design
from alula.fuzz.memory import Area, Matrix, Places, random_places
from alula.fuzz.text import Part, Repeat, Text, assembled
from alula.isa import Image, Program, Ref
from alula.isa.encoding import Value
from alula.isa.fields import REGISTER_MASK, REGISTERS, Choice, Operand
from alula.isa.formats import FORMATS, GROUP
from alula.isa.instructions import BY_NAME, INSTRUCTIONS, LOOP_DEPTH, Engine
from alula.rtl.device import Timing

_CHUNKS = 64
"""Pieces of the vector buffer and of the store that dependencies are told apart by."""

# Registers: constants, what addresses are made in, loops, and those of random arithmetic.
_CONSTANTS = range(1, 9)
_INV, _EPS = 9, 10
_TEMPORARY = range(11, 17)
_LOOPS = range(17, 17 + LOOP_DEPTH)
_FREE = range(17 + LOOP_DEPTH, REGISTERS)

_ALU = tuple(one.name for one in INSTRUCTIONS if one.engine is Engine.SYS and len(one.fields) == 3)
_SYNCS = ("NOP", *(one.name for one in INSTRUCTIONS if one.name.endswith(".SYNC")))
_NOT_LOADS = ("ADD", "ACT", "RMSNORM", "QUANT", "ST.V", "ST.W", "ARGMAX", "ADDR", "NOP")

_BARE = max(
    sum(isinstance(field, Operand) and not field.bits for field in one.fields)
    for one in INSTRUCTIONS
)
"""Operands of an instruction that are a register and nothing else, at most."""
_PACE = 40
"""Iterations of all the loops around an instruction, at most."""


@dataclass(frozen=True)
class Case:
    """A random program with its memory, made from a seed.

    Attributes:
        name: seed and number.
        design: that it is for.
        text: the program without tokens; `program` has them.
        closing: what makes buffers and registers visible in memory at the end.
        constants: values of registers.
        image: memory at the start.
        timing: of the gateware's memory.
    """

    name: str
    design: Design
    text: Text
    closing: Text
    constants: dict[int, int]
    image: Image
    timing: Timing

    def program(self, text: Text | None = None) -> Program:
        """The program, or that of a shorter text."""
        chosen = self.text if text is None else text
        return assembled(self.name, self.design, (*chosen, *self.closing), self.constants)


def random_case(design: Design, seed: int, number: int, length: int = 60) -> Case:
    """Return a random program, the same for the same arguments.

    `length`: its instructions, about, without loads at its start and stores at its end.
    """
    random = Random(f"{seed}/{number}")
    places = random_places(design, random)
    generator = _Generator(design, places, random)
    text = generator.opening() + generator.text(random.randint(1, length))
    timing = Timing(
        read_latency=random.choice((None, random.randint(1, 200))),
        write_latency=random.randint(1, 50),
        stalls=random.choice((0, 20, 100)),
        seed=random.getrandbits(31),
    )
    return Case(
        f"fuzz-{seed}-{number}",
        design,
        tuple(text),
        tuple(generator.closing()),
        generator.constants,
        places.image,
        timing,
    )


class _NoRoom(Exception):
    """No such range of the vector buffer was found."""


class _Words(NamedTuple):
    """A range of the vector buffer: its operand, and all the words that it takes over time."""

    operand: Value
    start: int
    words: int

    def apart(self, other: _Words) -> bool:
        return self.start + self.words <= other.start or other.start + other.words <= self.start


@dataclass(frozen=True)
class _Loop:
    register: int
    step: int
    count: int


class _Generator:
    """Draws parts. Its state is the group of the next part and the loops around it."""

    def __init__(self, design: Design, places: Places, random: Random) -> None:
        self.design, self.places, self.random = design, places, random
        self.lanes = design.sfu.lanes
        self.space = min(design.vector_words, random.choice((256, 1024, 1 << 16)))
        self.group = 0
        self.loops: list[_Loop] = []
        self.constants = {register: self._constant() for register in _CONSTANTS}
        self.constants[_INV] = self._positive()
        self.constants[_EPS] = self._positive()
        self.makers: dict[str, Callable[[], list[Part]]] = {
            "LD.V": self._ld_v,
            "LD.G": self._ld_g,
            "ST.V": self._st_v,
            "ST.W": self._st_w,
            "RMSNORM": partial(self._norm, "RMSNORM", 1),
            "LAYERNORM": partial(self._norm, "LAYERNORM", 2),
            "SOFTMAX": self._softmax,
            "ROPE": self._rope,
            "ACT": self._act,
            "ADD": self._add,
            "QUANT": self._quant,
            "ARGMAX": self._argmax,
            "ARG": self._arg,
            "LI": self._li,
            **{name: partial(self._kv, name) for name in ("ST.K", "ST.T", "QUANTKV")},
            **{name: partial(self._alu, name) for name in _ALU},
            **{name: partial(self._sync, name) for name in _SYNCS},
        }

    # The program as a whole

    def opening(self) -> list[Part | Repeat]:
        """Numbers for the words that the program works on."""
        beats = self.places.data.beats * self.design.bytes_per_cycle // 4
        parts: list[Part | Repeat] = []
        for start in range(0, self.space, 512):
            count = min(self.random.randint(1, beats), (self.space - start) * self.lanes)
            words = self._at(start, -(-count // self.lanes))
            parts += self._load("fp32", self.places.data.start, count, words)
        return parts

    def closing(self) -> list[Part | Repeat]:
        """Store the vector buffer, every register, ARGMAX's result and staging."""
        dump, words = self.places.dump.start, self.design.vector_words
        count = words * self.lanes
        self.group += 1
        everything = self._at(0, words)
        parts: list[Part | Repeat] = [
            self._part("ARG", reads=["best"], rd=_FREE[0]),
            *self._store(everything, dump, count),
        ]
        place = dump + -(-4 * count // self.design.bytes_per_cycle)
        for register in range(1, REGISTERS):
            values = {"value": Ref(register), "addr": place + register, "skip": 0}
            parts.append(self._part("ST.W", **values))
        cache = self.places.cache
        rows = self.design.staging_bytes // (GROUP * cache.groups + 2)
        where = {"addr": place + REGISTERS, "rows": rows, "groups": cache.groups}
        parts += self._with_values(
            "ST.K", {"src": 0, "heads": 1, "stride": 0, "position": 0, **where}, reads=["staging"]
        )
        return parts

    def text(self, length: int) -> list[Part | Repeat]:
        """Draw about so many instructions."""
        items: list[Part | Repeat] = []
        while length > 0:
            self.group += 1
            choice = self.random.random()
            try:
                if choice < 0.12 and len(self.loops) < LOOP_DEPTH:
                    made = self._repeat(self.random.randint(1, max(1, length // 2)))
                elif choice < 0.3:
                    made = self._products()
                else:
                    made = self.makers[self.random.choice(tuple(self.makers))]()
            except _NoRoom:
                continue
            items += made
            length -= max(1, len(made))
        return items

    def _repeat(self, length: int) -> list[Part | Repeat]:
        group = self.group
        register = _LOOPS[len(self.loops)]
        around = 1
        for loop in self.loops:
            around *= loop.count
        count = self.random.choice((0, 1, 2, 3, self.random.randint(1, 9)))
        count = min(count, _PACE // max(around, 1))
        loop = _Loop(register, self.random.randint(0, 9), count)
        self.loops.append(loop)
        body = self.text(length)
        self.loops.pop()
        self.group += 1
        add = Part(group, "ADDR", {"rd": register, "a": register, "b": loop.step})
        start = Part(group, "LI", {"rd": register, "value": 0})
        before, values = self._values("LOOP", {"count": count}, group)
        # The step is the loop's own: without the loop its body is gone as well.
        return [start, *before, Repeat(group, values["count"], (*body, add))]

    # Operands

    def _constant(self) -> int:
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

    def _values(
        self, name: str, values: Mapping[str, Value], group: int | None = None
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
                before.append(Part(self.group if group is None else group, "LI", loaded))
                made[field.name] = Ref(register, offset)
        return before, made

    def _any(self, field: object) -> Value:
        """A code of a choice that does not matter."""
        if not isinstance(field, Choice):
            return 0
        return self.random.choice([one for one in field.choices if one])

    def _with_values(
        self,
        name: str,
        values: Mapping[str, Value],
        reads: Iterable[str] = (),
        writes: Iterable[str] = (),
    ) -> list[Part]:
        before, made = self._values(name, values)
        part = Part(self.group, name, made, frozenset(reads), frozenset(writes))
        return [*before, part]

    def _part(
        self, name: str, reads: Iterable[str] = (), writes: Iterable[str] = (), **values: Value
    ) -> Part:
        return Part(self.group, name, values, frozenset(reads), frozenset(writes))

    def _at(self, start: int, words: int) -> _Words:
        return _Words(start, start, words)

    def _words(self, words: int, *apart: _Words) -> _Words:
        """A range of the vector buffer that meets none of some others, maybe moved by a loop."""
        for _ in range(50):
            loop = self.random.choice(self.loops) if self.loops else _Loop(0, 0, 1)
            if self.random.random() < 0.4:
                loop = _Loop(0, 0, 1)
            span = words + max(0, loop.count - 1) * loop.step
            if span > self.space:
                continue
            start = self.random.randint(0, self.space - span)
            operand = Ref(loop.register, start) if loop.register else start
            found = _Words(operand, start, span)
            if all(found.apart(other) for other in apart):
                return found
        raise _NoRoom

    def _count(self, most: int) -> int:
        """A number up to `most`: often small, now and then none or all."""
        kind = self.random.random()
        if kind < 0.05:
            return 0
        if kind < 0.1:
            return most
        return self.random.randint(1, min(most, self.random.choice((3, 20, 300))))

    def _vector(self, *ranges: _Words) -> list[str]:
        """Names of the pieces of the vector buffer that ranges touch."""
        piece = -(-self.design.vector_words // _CHUNKS)
        return [
            f"v{index}"
            for one in ranges
            for index in range(one.start // piece, -(-(one.start + max(one.words, 1)) // piece))
        ]

    def _stored(self, addr: int, beats: int) -> list[str]:
        """Names of the pieces of the store that beats touch; none if they are only read."""
        store = self.places.store
        if not store.start <= addr < store.end:
            return []
        piece = -(-store.beats // _CHUNKS)
        first, last = addr - store.start, addr - store.start + max(beats, 1)
        return [f"m{index}" for index in range(first // piece, -(-last // piece))]

    # LD and ST

    def _load(self, kind: str, addr: int, count: int, words: _Words) -> list[Part]:
        beats = -(-count * (4 if kind == "fp32" else 2) // self.design.bytes_per_cycle)
        return self._with_values(
            "LD.V",
            {"type": kind, "addr": addr, "dst": words.operand, "count": count},
            self._stored(addr, beats),
            self._vector(words),
        )

    def _store(self, words: _Words, addr: int, count: int) -> list[Part]:
        beats = -(-4 * count // self.design.bytes_per_cycle)
        return self._with_values(
            "ST.V",
            {"src": words.operand, "addr": addr, "count": count},
            self._vector(words),
            self._stored(addr, beats),
        )

    def _ld_v(self) -> list[Part]:
        region = self.random.choice((self.places.data, self.places.store))
        kind = self.random.choice(("fp32", "bf16"))
        addr = self.random.randrange(region.start, region.end)
        count = (region.end - addr) * self.design.bytes_per_cycle // (4 if kind == "fp32" else 2)
        count = self._count(min(count, self.space * self.lanes))
        return self._load(kind, addr, count, self._words(-(-count // self.lanes)))

    def _ld_g(self) -> list[Part]:
        table = self.random.choice(self.places.tables)
        count = self.random.randint(0, table.listed)
        words = self._words(count * -(-table.length // self.lanes))
        values = {"type": table.type, "table": table.addr, "ids": table.ids, "count": count}
        values |= {"len": table.length, "dst": words.operand}
        return self._with_values("LD.G", values, (), self._vector(words))

    def _st_v(self) -> list[Part]:
        store = self.places.store
        addr = self.random.randrange(store.start, store.end)
        count = (store.end - addr) * self.design.bytes_per_cycle // 4
        count = self._count(min(count, self.space * self.lanes))
        return self._store(self._words(-(-count // self.lanes)), addr, count)

    def _st_w(self) -> list[Part]:
        store = self.places.store
        addr = self.random.randrange(store.start, store.end)
        skip = self.random.randrange(self.design.bytes_per_cycle // 4)
        values = {"value": self._number(), "addr": addr, "skip": skip}
        return self._with_values("ST.W", values, (), self._stored(addr, 1))

    def _kv(self, name: str) -> list[Part]:
        cache, random = self.places.cache, self.random
        heads = random.randint(1, cache.heads)
        held = self.design.staging_bytes // (GROUP * cache.groups + 2)
        rows = min(random.randint(0, 5), held // heads)
        row = random.randint(0, held - rows * heads)
        if name == "QUANTKV":
            stride, words = random.randint(0, 40), -(-heads * cache.dim // self.lanes)
            source = self._words(max(0, rows - 1) * stride + words)
            values = {"src": source.operand, "dst": row, "rows": rows, "heads": heads}
            values |= {"dim": cache.dim, "stride": stride}
            return self._with_values(name, values, self._vector(source), ["staging"])
        values = {"src": row, "heads": heads, "rows": rows, "groups": cache.groups}
        values |= {"position": random.randint(0, cache.positions - rows)}
        if name == "ST.K":
            values |= {"addr": cache.k, "stride": cache.k_stride}
        else:
            values |= {"addr": cache.v, "stride": cache.v_stride}
            values |= {"pitch": cache.pitch, "scales": cache.scales}
        return self._with_values(name, values, ["staging"], ["cache"])

    # Products: pushed in order, taken in order, no other load in between

    def _products(self) -> list[Part]:
        pairs, between = [], list[Part]()
        for _ in range(self.random.choice((1, 1, 2, 3))):
            matrix = self.random.choice(self.places.matrices)
            area = next(one for one in self.places.areas if one.groups == matrix.groups)
            if self.random.random() < 0.6:
                between += self._quant(area)
                self.group += 1
            pairs.append(self._product(matrix, area))
            self.group += 1
        for _ in range(self.random.randint(0, 2)):
            between += self.makers[self.random.choice(_NOT_LOADS)]()
            self.group += 1
        pushes = [part for push, _ in pairs for part in push]
        takes = [part for _, take in pairs for part in take]
        return [*pushes, *between, *takes]

    def _product(self, matrix: Matrix, area: Area) -> tuple[list[Part], list[Part]]:
        """LD.W, and what takes its beats."""
        random, tokens = self.random, self.design.mpe.tokens
        name = random.choice(("MV", "MM"))
        fits = FORMATS[matrix.fmt].beats(1, matrix.groups) <= self.design.stream_beats
        tile = random.randrange(area.tiles)
        most = (area.tiles - tile) * tokens if name == "MM" and fits else tokens
        rows = random.randint(1, most)
        blocks = random.randint(1, matrix.blocks)
        outputs = random.randint((blocks - 1) * self.design.rows + 1, blocks * self.design.rows)
        words = -(-outputs // self.lanes)
        stride = words + random.choice((0, 0, 1, 7))
        target = self._words((rows - 1) * stride + words)
        shape: dict[str, Value] = {"fmt": matrix.fmt, "nm": "dense", "groups": matrix.groups}
        push = {"to": name, "addr": matrix.addr, "blocks": blocks, "stride": matrix.stride}
        take = {"src": area.base + tile * matrix.groups, "outputs": outputs, "rows": rows}
        take |= {"dst": target.operand, "stride": stride}
        read = [matrix.resource] if matrix.resource else []
        return (
            self._with_values("LD.W", shape | push, read),
            self._with_values(name, shape | take, [area.name], self._vector(target)),
        )

    # MISC

    def _quant(self, area: Area | None = None) -> list[Part]:
        area = area or self.random.choice(self.places.areas)
        held = area.tiles * self.design.mpe.tokens
        rows = self.random.randint(0, min(held, 6))
        slot = self.random.randint(0, held - rows)
        length = self.random.randint((area.groups - 1) * GROUP + 1, area.groups * GROUP)
        words, stride = -(-length // self.lanes), self.random.randint(0, 40)
        source = self._words(max(0, rows - 1) * stride + words)
        values = {"src": source.operand, "dst": area.base, "slot": slot, "rows": rows}
        values |= {"len": length, "stride": stride}
        return self._with_values("QUANT", values, self._vector(source), [area.name])

    def _multiple(self, step: int, most: int) -> int:
        return step * self.random.randint(1, most // step)

    def _same_or_apart(self, words: int, source: _Words, *others: _Words) -> _Words:
        """A destination as the contract wants it."""
        if self.random.random() < 0.4 and all(source.apart(other) for other in others):
            return source
        return self._words(words, source, *others)

    def _norm(self, name: str, gains: int) -> list[Part]:
        rows, length = self.random.randint(0, 4), self._count(200)
        words = -(-length // self.lanes)
        gain, source = self._words(gains * words), self._words(rows * words)
        target = self._same_or_apart(rows * words, source, gain)
        values = {"dst": target.operand, "src": source.operand, "gain": gain.operand}
        values |= {"rows": rows, "len": length, "inv": _INV, "eps": _EPS}
        return self._with_values(name, values, self._vector(source, gain), self._vector(target))

    def _softmax(self) -> list[Part]:
        rows, length = self.random.randint(0, 4), self.random.randint(1, 100)
        step = self.random.randint(0, 1)
        last = length + max(0, rows - 1) * step
        words = -(-(-(-last // GROUP) * GROUP) // self.lanes)
        stride = words + self.random.choice((0, 0, 3))
        source = self._words(max(0, rows - 1) * stride + words)
        scale = self._words(-(-last // self.lanes), source)
        values = {"src": source.operand, "rows": rows, "len": length, "step": str(step)}
        values |= {"stride": stride, "scale": scale.operand}
        touched = self._vector(source)
        return self._with_values("SOFTMAX", values, self._vector(source, scale), touched)

    def _rope(self) -> list[Part]:
        dim, heads = self._multiple(2 * self.lanes, 128), self.random.randint(0, 4)
        rows = self.random.randint(0, 4)
        words = -(-heads * dim // self.lanes)
        stride = words + self.random.choice((0, 0, 5))
        source = self._words(max(0, rows - 1) * stride + words)
        table = self._words(-(-rows * dim // self.lanes), source)
        values = {"src": source.operand, "table": table.operand, "rows": rows, "heads": heads}
        values |= {"dim": dim, "stride": stride}
        touched = self._vector(source)
        return self._with_values("ROPE", values, self._vector(source, table), touched)

    def _act(self) -> list[Part]:
        count, gated = self._count(60), self.random.randint(0, 1)
        a, b = self._words(count), self._words(count)
        target = self._same_or_apart(count, a, *([b] if gated else []))
        values = {"gated": str(gated), "dst": target.operand, "a": a.operand, "b": b.operand}
        touched = self._vector(target)
        return self._with_values("ACT", values | {"count": count}, self._vector(a, b), touched)

    def _add(self) -> list[Part]:
        rows, words, once = self.random.randint(0, 4), self._count(40), self.random.randint(0, 1)
        a, b = self._words(rows * words), self._words(words if once else rows * words)
        target = self._same_or_apart(rows * words, a, b)
        values = {"dst": target.operand, "a": a.operand, "b": b.operand, "rows": rows}
        values |= {"words": words, "broadcast": str(once)}
        return self._with_values("ADD", values, self._vector(a, b), self._vector(target))

    def _argmax(self) -> list[Part]:
        count = self._count(200)
        source = self._words(-(-count // self.lanes))
        values = {"src": source.operand, "count": count, "base": self.random.getrandbits(20)}
        return self._with_values("ARGMAX", values, self._vector(source), ["best"])

    # SYS, and tokens for their own sake

    def _number(self) -> Ref:
        """Any register's value and any number."""
        return Ref(self.random.randrange(REGISTERS), self._constant())

    def _arg(self) -> list[Part]:
        return [self._part("ARG", ["best"], rd=self.random.choice(_FREE))]

    def _li(self) -> list[Part]:
        return [self._part("LI", rd=self.random.choice(_FREE), value=self._constant())]

    def _alu(self, name: str) -> list[Part]:
        b = Ref(0, max(1, self._constant())) if name == "DIVR" else self._number()
        a = self.random.randrange(REGISTERS)
        return [self._part(name, rd=self.random.choice(_FREE), a=a, b=b)]

    def _sync(self, name: str) -> list[Part]:
        piece = self.random.choice([f"v{self.random.randrange(_CHUNKS)}", "best", "staging"])
        return [self._part(name, [piece], [piece] if self.random.random() < 0.5 else [])]
