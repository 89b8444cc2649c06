"""Races of a program: accesses to one place that no token puts in order.

The k-th signal of a pair of engines meets its k-th wait and a matrix meets the product that takes
it, whenever the engines come to it. So one run shows every race that any order of its instructions
has, by vector clocks (Mattern, 1989; of each place its last accesses, as in Djit+, Pozniansky and
Schuster, 2003).
"""

from collections import deque

import numpy as np

from alula.isa import Engine, format_op
from alula.isa.effects import BOUNDS, Range, Space
from alula.isa.formula import numbers
from alula.isa.kv import kv_places
from alula.model.errors import MachineError, place_text
from alula.model.places import memory_bytes, slots, staging_rows, words
from alula.model.scheduler import Retired
from alula.model.state import State

_ENGINES = len(Engine)
_PLACES = {
    Space.VECTOR: words,
    Space.ACTIVATIONS: slots,
    Space.STAGING: staging_rows,
    Space.MEMORY: memory_bytes,
}


class Race(MachineError):
    """Two engines touch one place, at least one writing, and no token says which comes first."""


class Races:
    """Watches a run: its `retired` is a `Machine.run`'s `on_retire`.

    Looked at are the buffers, memory and what ARGMAX has found; rows that LD.G gathers are not.
    Register operands are read as the sequencer dispatches, in the program's order.
    """

    def __init__(self, state: State) -> None:
        self._state = state
        self._spaces = {space: _Accesses() for space in (*BOUNDS, Space.BEST)}
        self._clocks = np.zeros((_ENGINES, _ENGINES), np.int32)
        self._tokens: dict[tuple[Engine, Engine], deque[np.ndarray]] = {}
        self._matrices: deque[np.ndarray] = deque()
        self._done: dict[tuple[int, int], Retired] = {}
        self._early: Retired | None = None

    def retired(self, one: Retired) -> None:
        """Look at the next instruction that has retired.

        Raises:
            Race: it touches what another engine touches, and nothing says which comes first.
        """
        if one.op.name in ("MM", "MV") and not self._matrices:
            self._early = one
            return
        self._look(one)
        if self._early is not None and self._matrices:
            early, self._early = self._early, None
            self._look(early)

    def _look(self, one: Retired) -> None:
        engine = one.op.instruction.engine
        clock = self._clocks[engine]
        np.maximum(clock, self._clocks[Engine.SYS], out=clock)
        for other in one.op.wait:
            np.maximum(clock, self._tokens[other, engine].popleft(), out=clock)
        if one.op.name in ("MM", "MV"):
            np.maximum(clock, self._matrices.popleft(), out=clock)
        if one.op.name == "END":
            self._clocks.max(axis=0, out=clock)
        clock[engine] += 1
        self._done[engine, int(clock[engine])] = one
        self._touch(one, engine, clock)
        for other in one.op.signal:
            self._tokens.setdefault((engine, other), deque()).append(clock.copy())
        if one.op.name == "LD.W":
            self._matrices.append(clock.copy())

    def _touch(self, one: Retired, engine: Engine, clock: np.ndarray) -> None:
        instruction = one.op.instruction
        if not all(one.values[name] for name in instruction.counts):
            return
        for writes, ranges in (
            (False, instruction.effects.reads),
            (True, instruction.effects.writes),
        ):
            for touched in ranges:
                accesses = self._spaces.get(touched.space)
                if accesses is None or touched.gathered:
                    continue
                places = self._places(touched, one)
                found = accesses.unordered(places, clock, writes)
                if found is not None:
                    raise self._race(one, touched.space, *found)
                accesses.note(places, engine, int(clock[engine]), writes)

    def _places(self, touched: Range, one: Retired) -> np.ndarray:
        """Words, slots, rows or bytes of a range."""
        if touched.part:
            memory = self._state.memory
            return np.unique(kv_places(memory.width, memory.lane, **one.values))
        places = _PLACES.get(touched.space)
        known = self._state.sizes | numbers(one.values)
        return places(touched, known).reshape(-1) if places else np.zeros(1, np.int64)

    def _race(self, one: Retired, space: Space, place: int, engine: int, time: int) -> Race:
        other = self._done[engine, time]
        where = place_text(other.address, other.iterations, other.origin)
        error = Race(
            f"{space.name.lower()} {place} must not be touched in any order: by this and by "
            f"{format_op(other.op)} ({where})"
        )
        error.at(format_op(one.op), one.address, one.iterations, one.origin)
        return error


class _Accesses:
    """The last write and each engine's last read of every place of a space, 0 where none."""

    def __init__(self) -> None:
        self._writer = np.zeros(0, np.int8)
        self._written = np.zeros(0, np.int32)
        self._read = np.zeros((_ENGINES, 0), np.int32)

    def note(self, places: np.ndarray, engine: Engine, time: int, writes: bool) -> None:
        """Note an access to places that `unordered` has looked at."""
        if writes:
            self._writer[places], self._written[places] = engine, time
        else:
            self._read[engine, places] = time

    def unordered(
        self, places: np.ndarray, clock: np.ndarray, writes: bool
    ) -> tuple[int, int, int] | None:
        """A place, engine and time of an access that does not come before a clock."""
        self._reach(int(places.max(initial=0)))
        writer, written = self._writer[places], self._written[places]
        accesses = [(writer, written)]
        if writes:
            accesses += [(np.full_like(writer, one), self._read[one, places]) for one in Engine]
        for engine, time in accesses:
            late = time > clock[engine]
            if late.any():
                at = int(late.argmax())
                return int(places[at]), int(engine[at]), int(time[at])
        return None

    def _reach(self, place: int) -> None:
        size = len(self._writer)
        if place >= size:
            more = max(place + 1 - size, size)
            self._writer, self._written = (
                np.pad(self._writer, (0, more)),
                np.pad(self._written, (0, more)),
            )
            self._read = np.pad(self._read, ((0, 0), (0, more)))
