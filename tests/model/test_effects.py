"""What instructions declare to read and write is what their handlers touch: no more and no less.

An instruction is executed on two states that agree in what it declares to read and in nothing else.
What it declares to write must then be the same in both, and all else as it was; and each end of
what it declares to read must matter. So a range that is a place too short, too long or elsewhere is
noticed, which the last test shows.
"""

from collections.abc import Iterator, Mapping
from copy import copy
from dataclasses import replace
from random import Random
from typing import Any

import numpy as np
import pytest

from alula.design import load_design
from alula.isa import INSTRUCTIONS, WEIGHT_FORMATS, Engine, Instruction, Op
from alula.isa.effects import BOUNDS, Range, Space, sizes
from alula.isa.fields import Choice
from alula.isa.formula import Formula, numbers
from alula.isa.instructions import BY_NAME
from alula.model import MachineError, Retired, UndefinedBehaviour
from alula.model.checks import Checks
from alula.model.state import State
from alula.model.writes import WORD, written

NANO = load_design("nano")
TRIALS = 24
MEMORY = 1 << 17
"""Bytes of memory that are looked at."""
TOUCHING = [one for one in INSTRUCTIONS if {r.space for r in one.effects.writes} - {Space.REGISTER}]

Values = dict[str, Any]
Masks = dict[str, np.ndarray]


def drawn(random: Random, instruction: Instruction) -> Values:
    """Fields that are mostly legal: small counts, addresses anywhere, rows that do not meet."""
    lanes = NANO.sfu.lanes
    ranges = (*instruction.effects.reads, *instruction.effects.writes)
    spaces = {one.first.text.split(" + ")[0]: one.space for one in ranges}
    values: Values = {}
    for field in instruction.fields:
        name = field.name
        if isinstance(field, Choice):
            values[name] = random.choice([one for one in field.choices if one])
        elif name in spaces:
            values[name] = random.randint(0, 8)
            if spaces[name] in (Space.VECTOR, Space.MEMORY):  # each in a part of its own
                values[name] += NANO.vector_words // len(spaces) * list(spaces).index(name)
        else:
            values[name] = {
                "len": random.randint(1, 9 * lanes),
                "count": random.choice((0, 1, 2, 5, 9, 33)),
                "dim": random.choice((2, 4, 6)) * lanes,
                "stride": random.choice((60, 70)),
                "outputs": random.randint(1, 40),
                "position": random.randint(0, 70),
                "pitch": random.randint(40, 44),
                "scales": random.randint(500, 520),
                "skip": random.randrange(NANO.bytes_per_cycle // 4),
                "inv": int(np.float32(1 / 64).view(np.uint32)),
                "eps": int(np.float32(1e-5).view(np.uint32)),
                "span": int(np.float32(8).view(np.uint32)),
            }.get(name, random.randint(0 if random.random() < 0.1 else 1, 3))
    if "nm" in values:
        values["nm"] = "dense"
        if instruction.name == "LD.W" and values["fmt"] != "V8":
            values["stride"] = 0
    if instruction.name in ("ST.KEY", "ST.VALUE"):
        values["stride"] = 1000
    for apart in instruction.effects.apart:
        if random.random() < 0.1:
            values[apart.first] = values[apart.source]
    return values


class Pair:
    """Two states, an instruction that both execute, and what it declares.

    Attributes:
        states: agree in what is read.
        reads: masks of what is read, by the name of an array.
    """

    def __init__(self, instruction: Instruction, values: Values, seed: int) -> None:
        self.instruction, self.values = instruction, values
        self.random = np.random.default_rng(seed)
        self.states = State(NANO), State(NANO)
        self.known = self.states[0].sizes | numbers(values)
        for state in self.states:
            self._fill(state)
        self._name_rows()
        self.reads = {name: np.zeros(a.shape, bool) for name, a in arrays(self.states[0]).items()}
        for one in self.busy(instruction.effects.reads):
            for name, index in self._places(one):
                self.reads[name][index] = True
        self.copy(self.reads)

    def busy(self, ranges: tuple[Range, ...]) -> list[Range]:
        """The ranges that an instruction can leave, if there is anything to do."""
        counted = all(self.values[name] for name in self.instruction.counts)
        return [one for one in ranges if counted and one.space in BOUNDS]

    def copy(self, masks: Masks) -> None:
        """Make the states the same there."""
        one, other = map(arrays, self.states)
        for name, mask in masks.items():
            other[name][mask] = one[name][mask]

    def _fill(self, state: State) -> None:
        random, (q, scale, exponent) = self.random, state.activations
        state.vector[:] = random.standard_normal(state.vector.size)
        q[:] = random.integers(-127, 128, q.shape)
        scale[:] = random.integers(1, 256, scale.shape)
        exponent[:] = random.integers(-99, 99, exponent.shape)
        state.staging[:] = random.integers(-127, 128, state.staging.shape)
        state.staging_scale[:] = random.integers(0, 1 << 15, state.staging_scale.shape)
        # Neither infinities nor the like, which all read as the largest number.
        halves = state.memory.halves[: MEMORY // 2]
        halves[:] = random.integers(0, 1 << 16, halves.size) & 0xBFFF

    def _name_rows(self) -> None:
        """Row numbers for LD.G, all within memory."""
        if self.instruction.name == "LD.G":
            memory, count = self.states[0].memory, self.values["count"]
            at = self.values["ids"] * memory.width // 4
            memory.words[at : at + count] = self.random.permutation(40)[:count]

    def _places(self, one: Range) -> Iterator[tuple[str, Any]]:
        """Indices of a range in the arrays of a state."""
        known, state = self.known, self.states[0]
        first, count, rows = one.first(known), one.count(known), np.arange(one.rows(known))
        match one.space:
            case Space.VECTOR:
                words = (first + rows * one.stride(known))[:, None] + np.arange(count)
                yield "vector", words.reshape(-1)
            case Space.ACTIVATIONS:
                row = one.skip(known) + rows[:, None]
                head = first + row // state.tokens * count
                slot = row % state.tokens
                yield "q", (head + np.arange(count), slot)
                yield "scale", (head + np.arange(count), slot)
                yield "exponent", (head, slot)
            case Space.STAGING:
                yield "staging", (slice(first, first + len(rows)), slice(0, 32 * count))
                yield "staging_scale", slice(first, first + len(rows))
            case Space.MEMORY:
                starts = first + rows * one.stride(known)
                if one.gathered:
                    memory = state.memory
                    at = self.values["ids"] * memory.width // 4
                    ids = memory.words[at : at + self.values["count"]].astype(np.int64)
                    starts = first + ids * -(-count // memory.width)
                at = starts[:, None] * state.memory.width + one.skip(known) + np.arange(count)
                yield "memory", at.reshape(-1)

    def ends(self, one: Range) -> Iterator[tuple[str, Any]]:
        """The first place of a range's first row and the last one of its last row."""
        for name, index in self._places(one):
            if name in ("scale", "exponent", "staging_scale"):
                continue
            mask = np.zeros(arrays(self.states[0])[name].shape, bool)
            mask[index] = True
            found = np.argwhere(mask)
            for place in (found[0], found[-1]) if len(found) else ():
                yield name, tuple(place)

    def execute(self, checks: Checks) -> None:
        """Execute on both. MachineError if the fields are not legal, AssertionError on one only."""
        matrix = None
        if self.instruction.engine in (Engine.MM, Engine.MV):
            fmt = WEIGHT_FORMATS[self.values["fmt"], self.values["nm"]]
            blocks, groups = -(-self.values["outputs"] // NANO.rows), self.values["groups"]
            if not groups:
                raise UndefinedBehaviour("there is no such matrix")
            matrix = self.states[0].memory.matrix(fmt, 0, blocks, groups, 0)
        handler = checks.handler(Op(self.instruction.name, self.values))
        for state in self.states:
            if matrix:
                state.stream.push(int(self.instruction.engine), matrix)
        handler(self.states[0], *self.values.values())
        try:
            handler(self.states[1], *self.values.values())
        except MachineError as error:
            raise AssertionError("more is read") from error

    def result(self, number: int) -> tuple[Any, ...]:
        """What can be seen of what was written, memory and buffers aside."""
        state = self.states[number]
        matrix = state.stream.take() if len(state.stream) else None
        return state.best_index, *(matrix.arrays if matrix else ())


def arrays(state: State) -> Masks:
    """What a state consists of, by name."""
    q, scale, exponent = state.activations
    words = state.vector_bits.reshape(-1, state.lanes)
    return {
        "vector": words,
        "q": q,
        "scale": scale,
        "exponent": exponent,
        "staging": state.staging,
        "staging_scale": state.staging_scale,
        "memory": state.memory.bytes[:MEMORY],
    }


def told(state: State, instruction: Instruction, values: Mapping[str, Any]) -> Masks:
    """Masks of what lock step takes as written."""
    masks = {name: np.zeros(array.shape, bool) for name, array in arrays(state).items()}
    writes = written(state, Retired(0, Op(instruction.name, dict(values)), values, (), ""))
    counts = writes.mask[:, None] >> np.arange(WORD, dtype=np.uint64) & np.uint64(1) == 1
    for space in set(writes.space.tolist()):
        here = writes.space == np.uint64(space)
        byte = (writes.byte[here].astype(np.int64)[:, None] + np.arange(WORD))[counts[here]]
        match Space(space):
            case Space.VECTOR:
                masks["vector"].reshape(-1)[byte // 4] = True
            case Space.ACTIVATIONS:
                masks["q"].reshape(-1)[byte] = True
            case Space.SIDES:
                masks["scale"].reshape(-1)[byte // WORD] = True
                masks["exponent"].reshape(-1)[byte // WORD] = True
            case Space.STAGING:
                masks["staging"][byte // 512, byte % 512] = True
            case Space.SCALES:
                masks["staging_scale"][byte // WORD] = True
            case Space.MEMORY:
                masks["memory"][byte] = True
            case Space.STREAM:
                assert len(byte) == state.stream.used * state.memory.width, "another stream"
    return masks


def pairs(instruction: Instruction, random: Random, trials: int) -> Iterator[tuple[Pair, Masks]]:
    """Random pairs that have executed the instruction, and how the first state was before."""
    checks = Checks(sizes(NANO))
    while trials:
        pair = Pair(instruction, drawn(random, instruction), random.getrandbits(32))
        before = [{n: a.copy() for n, a in arrays(state).items()} for state in pair.states]
        try:
            pair.execute(checks)
        except MachineError:
            continue
        trials -= 1
        masks = told(pair.states[0], instruction, pair.values)
        for state, old in zip(pair.states, before, strict=True):
            for name, now in arrays(state).items():
                assert not ((now != old[name]) & ~masks[name]).any(), f"{name}: more is written"
        one, other = map(arrays, pair.states)
        for name, mask in masks.items():
            if name != "exponent":  # of a row's first group alone
                same = one[name][mask] == other[name][mask]
                assert same.all(), f"{name}: more is read, or less is written"
        for this, that in zip(pair.result(0), pair.result(1), strict=True):
            assert np.array_equal(this, that), "more is read"
        yield pair, before[0]


def matters(pair: Pair, before: Masks, name: str, place: Any) -> bool:
    """Whether another value at a place that was read gives another result, or an error."""
    trial = copy(pair)
    trial.states = State(NANO), State(NANO)
    for state in trial.states:
        for key, array in arrays(state).items():
            array[:] = before[key]
    array = arrays(trial.states[1])[name]
    if name == "vector":
        array.view(np.float32)[place[0]] = 1e6 * (1 + np.arange(NANO.sfu.lanes))
    else:
        array[place] ^= 1
    try:
        trial.execute(Checks(sizes(NANO)))
    except AssertionError:
        return True
    one, other = map(arrays, trial.states)
    masks = told(trial.states[0], pair.instruction, pair.values)
    differ = any((one[key][masks[key]] != other[key][masks[key]]).any() for key in masks)
    results = zip(trial.result(0), trial.result(1), strict=True)
    return differ or any(not np.array_equal(this, that) for this, that in results)


def verify(instruction: Instruction, trials: int = TRIALS) -> None:
    """AssertionError if what the instruction declares is not what it does."""
    random = Random(instruction.name)
    ends: set[tuple[int, int]] = set()
    shown: set[tuple[int, int]] = set()
    for pair, before in pairs(instruction, random, trials):
        for number, one in enumerate(pair.busy(instruction.effects.reads)):
            for end, (name, place) in enumerate(pair.ends(one)):
                ends.add((number, end))
                if (number, end) not in shown and matters(pair, before, name, place):
                    shown.add((number, end))
    assert ends == shown, "less is read"


@pytest.mark.parametrize("instruction", TOUCHING, ids=lambda item: item.name)
def test_an_instruction_does_what_it_declares(instruction: Instruction) -> None:
    verify(instruction)


def broken(instruction: Instruction, kind: str, one: Range) -> Iterator[Range]:
    """The range a place too long, too short or moved, a row longer, or with rows elsewhere."""
    yield replace(one, count=Formula(f"{one.count} + 1"))
    if not any(other.part for other in getattr(instruction.effects, kind)):  # which has the rest
        yield replace(one, count=Formula(f"max({one.count} - 1, 0)"))
    yield replace(one, first=Formula(f"{one.first} + 1"))
    if one.space in (Space.ACTIVATIONS, Space.STAGING) or one.stride.text != "0":
        yield replace(one, rows=Formula(f"{one.rows} + 1"))
    if one.stride.text != "0":
        yield replace(one, stride=Formula(f"{one.stride} + 1"))


WRONG = [
    (instruction, kind, number, change)
    for instruction in TOUCHING
    for kind in ("reads", "writes")
    for number, one in enumerate(getattr(instruction.effects, kind))
    if one.space in BOUNDS and not (one.part or one.gathered)
    for change in broken(instruction, kind, one)
]


@pytest.mark.parametrize(
    ("instruction", "kind", "number", "change"),
    WRONG,
    ids=[f"{one.name} {kind} {new.first}: {new.rows} x {new.count}" for one, kind, _, new in WRONG],
)
def test_a_wrong_declaration_is_noticed(
    monkeypatch: pytest.MonkeyPatch, instruction: Instruction, kind: str, number: int, change: Range
) -> None:
    ranges = list(getattr(instruction.effects, kind))
    ranges[number] = change
    effects = replace(instruction.effects, **{kind: tuple(ranges)})
    wrong = replace(instruction, effects=effects)
    monkeypatch.setitem(BY_NAME, instruction.name, wrong)
    # The others: a range that `Apart` names is gone, the stream's beats are no whole words.
    with pytest.raises((AssertionError, KeyError, ValueError)):
        verify(wrong)
