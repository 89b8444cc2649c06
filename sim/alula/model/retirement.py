"""Every retirement of a run: where, and a checksum of what was written."""

from __future__ import annotations

from array import array

import numpy as np

from alula.isa import Engine
from alula.model.scheduler import Retired
from alula.model.state import State
from alula.model.writes import Space, Writes, written

__all__ = ["Recorder", "Retirements", "Seeker"]


class Retirements:
    """What one engine has retired, in order.

    Attributes:
        addresses: program address of each instruction, uint32.
        checksums: of what it wrote, uint64.
    """

    def __init__(self) -> None:
        self.addresses, self.checksums = array("I"), array("Q")

    def __len__(self) -> int:
        return len(self.addresses)


class Recorder:
    """A run's `on_retire`: keeps the retirements of each engine.

    Attributes:
        engines: by engine.
        stored: beats of memory that the program wrote to.
    """

    def __init__(self, state: State) -> None:
        self._state = state
        self.engines = {engine: Retirements() for engine in Engine}
        self.stored: set[int] = set()

    def __call__(self, retired: Retired) -> None:
        """Keep what has just retired."""
        writes = written(self._state, retired)
        engine = self.engines[retired.op.instruction.engine]
        engine.addresses.append(retired.address)
        engine.checksums.append(writes.checksum)
        if retired.op.instruction.engine is Engine.ST:
            stored = writes.byte[writes.space == np.uint64(Space.MEMORY)]
            self.stored.update(np.unique(stored // np.uint64(self._state.memory.width)).tolist())


class Seeker:
    """A run's `on_retire`: keeps one retirement of one engine, and what was written.

    Attributes:
        found: retirement number `index`, counted from 0, and its writes; None until it comes.
    """

    def __init__(self, state: State, engine: Engine, index: int) -> None:
        self._state, self._engine, self._left = state, engine, index
        self.found: tuple[Retired, Writes] | None = None

    def __call__(self, retired: Retired) -> None:
        """Keep what has just retired if it is the one."""
        if retired.op.instruction.engine is not self._engine:
            return
        if self._left == 0:
            self.found = retired, written(self._state, retired)
        self._left -= 1
