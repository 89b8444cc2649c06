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
    registers = np.zeros(REGISTERS, np.int64)
    for register, value in program.constants.items():
        registers[register] = value
    for name, register in program.inputs.items():
        registers[register] = inputs[name]
    return _timed(steps, design, registers)


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


def _timed(steps: Listing, design: Design, registers: np.ndarray) -> Timeline:
    found = machine(design)  # pyright: ignore[reportArgumentType]
    places, fields, timing = _traced(steps, found, registers)
    kinds, taken, moved = works(steps, found, places, fields)
    meetings = steps.meetings[places]
    columns = np.column_stack([meetings[:, 0], kinds, meetings[:, 1:]])
    total, busy = np.zeros(5), np.zeros(timeline.ENGINES)
    stuck = timeline.timeline(columns, taken, timing, found.latencies, total, busy)
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
    """Address, fields, and cycles and weight of each step that is noted."""
    code, size = steps.timed(found.issue), _FIRST
    chunks, shares = sampled(steps, registers)
    while size <= _MOST:
        places, timing = np.empty(size, np.int64), np.empty((size, 2))
        fields = np.empty((size, FIELDS), np.int64)
        count = trace.trace(
            code,
            steps.sources,
            found.known["REDIRECT"],
            registers.copy(),
            chunks,
            shares,
            places,
            fields,
            timing,
        )
        if count >= 0:
            return places[:count], fields[:count], timing[:count]
        size *= 4
    raise ValueError(f"a program must end within {_MOST} instructions")
