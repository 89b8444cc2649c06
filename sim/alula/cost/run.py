"""Tier 1: how long a run of a program takes, from the program and the design alone."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from alula.cost.kernels import timeline, trace
from alula.cost.listing import FIELDS, Listing, listing
from alula.cost.machine import TimedDesign, machine
from alula.cost.sampling import sampled
from alula.cost.work import works
from alula.design import Design
from alula.isa import Engine, Program
from alula.isa.fields import REGISTERS

ACCOUNTS = ("compute", "memory", "issue", "dependency")
"""What a run's cycles are spent on."""
_FIRST, _MOST = 1 << 14, 1 << 22
"""Steps of a trace that there is room for at first, and at most."""
_NO_SPANS = np.empty((0, 2))
_NO_CHUNKS = np.empty(0, np.int64), np.empty(0)
"""Iterations of a loop over chunks that are run, and their shares, where all are."""


@dataclass(frozen=True)
class Timeline:
    """What the cycle model finds of a run.

    Attributes:
        cycles: of the core clock, from start to end.
        accounts: core cycles by what the run waited for along its longest chain of causes:
            `ACCOUNTS`. They add up to `cycles`.
        busy: core cycles in which each engine works, by its name; they overlap.
        bytes_read, bytes_written: of memory.
    """

    cycles: float
    accounts: dict[str, float]
    busy: dict[str, float]
    bytes_read: float
    bytes_written: float


@dataclass(frozen=True)
class InstructionTimes:
    """When each instruction of a run begins and ends by the cycle model, no loop sampled.

    The sequencer's own are those that wait or signal, and the end.

    Attributes:
        timeline: the run as a whole.
        addresses: int64 [instructions], of each in the program, as they are dispatched.
        layers: int64 [instructions], iteration of the loop over layers around it; -1: none.
        spans: float64 [instructions, 2], cycles at which it begins and is over. Those of an engine
            may overlap.
    """

    timeline: Timeline
    addresses: np.ndarray
    layers: np.ndarray
    spans: np.ndarray


def time_program(program: Program, design: Design, inputs: Mapping[str, int]) -> Timeline:
    """Return how long a run takes. No data is touched, so weights do not matter.

    Args:
        program: what runs. Its loops over layers, and a loop over chunks around them, are sampled.
        design: what it runs on.
        inputs: a value for each of the program's inputs.

    Raises:
        ValueError: the program does not end, or its instructions wait for each other.
    """
    steps = _listed(_Key(program))
    found = machine(design)  # pyright: ignore[reportArgumentType]
    registers = _registers(program, inputs)
    places, fields, timing = _traced(steps, found, registers)
    return _timed(steps, found, places, fields, timing, _NO_SPANS)


def time_instructions(
    program: Program, design: Design, inputs: Mapping[str, int], most: int
) -> InstructionTimes | None:
    """Return when each instruction of a run begins and ends; None if they are more than `most`.

    See `time_program`, whose cycles may differ a little, since it samples loops.
    """
    steps = _listed(_Key(program))
    found = machine(design)  # pyright: ignore[reportArgumentType]
    traced = _trace(steps, found, _registers(program, inputs), most, trace.EVERY, _NO_CHUNKS)
    if traced is None:
        return None
    places, fields, timing = traced
    spans = np.zeros((len(places), 2))
    whole = _timed(steps, found, places, fields, timing, spans)
    return InstructionTimes(whole, places, timing[:, trace.LAYER].astype(np.int64), spans)


def _registers(program: Program, inputs: Mapping[str, int]) -> np.ndarray:
    registers = np.zeros(REGISTERS, np.int64)
    for register, value in program.constants.items():
        registers[register] = value
    for name, register in program.inputs.items():
        registers[register] = inputs[name]
    return registers


class _Key:
    """A program in a cache: its code and its layer loops say all that a listing is made of."""

    def __init__(self, program: Program) -> None:
        self.program = program
        self._content = program.code, frozenset(program.layer_loops)

    def __hash__(self) -> int:
        return hash(self._content)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Key) and self._content == other._content


@lru_cache(maxsize=256)
def _listed(key: _Key) -> Listing:
    return listing(key.program)


def _timed(
    steps: Listing,
    found: TimedDesign,
    places: np.ndarray,
    fields: np.ndarray,
    timing: np.ndarray,
    spans: np.ndarray,
) -> Timeline:
    """Return what a trace takes, and fill in `spans` if there is room for all of it."""
    kinds, taken, moved = works(steps, found, places, fields)
    meetings = steps.meetings[places]
    columns = np.column_stack([meetings[:, 0], kinds, meetings[:, 1:]])
    total, busy = np.zeros(5), np.zeros(timeline.ENGINES)
    stuck = timeline.timeline(columns, taken, timing, found.latencies, total, busy, spans)
    if stuck >= 0:
        address = places[stuck]
        raise ValueError(f"instructions must not wait for each other (address {address})")
    read, written = timing[:, trace.WEIGHT] @ moved
    return Timeline(
        float(total[0]),
        dict(zip(ACCOUNTS, map(float, total[1:]), strict=True)),
        {engine.name: float(busy[engine]) for engine in Engine},
        float(read),
        float(written),
    )


def _traced(
    steps: Listing, found: TimedDesign, registers: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Address, fields, and timing of each step that is noted, loops sampled."""
    chunks = sampled(steps, registers)
    traced = _trace(steps, found, registers, _MOST, trace.SAME, chunks)
    if traced is None:
        raise ValueError(f"a program must end within {_MOST} instructions")
    return traced


def _trace(
    steps: Listing,
    found: TimedDesign,
    registers: np.ndarray,
    most: int,
    same: int,
    chunks: tuple[np.ndarray, np.ndarray],
) -> tuple[np.ndarray, np.ndarray, np.ndarray] | None:
    """Address, fields, and timing of each step that is noted; None if they are more than `most`.

    Of a loop over layers `same` iterations are run, of that over chunks those that are given with
    their shares.
    """
    code, size = steps.timed(found.issue), min(_FIRST, most)
    while True:
        places, timing = np.empty(size, np.int64), np.empty((size, trace.TIMING))
        fields = np.empty((size, FIELDS), np.int64)
        count = trace.trace(
            code,
            steps.sources,
            found.known["REDIRECT"],
            same,
            registers.copy(),
            *chunks,
            places,
            fields,
            timing,
        )
        if count >= 0:
            return places[:count], fields[:count], timing[:count]
        if size == most:
            return None
        size = min(4 * size, most)
