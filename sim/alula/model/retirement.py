"""Every retirement of a run: where, and a checksum of what was written."""

from array import array

import numpy as np

from alula.isa import Engine
from alula.model.scheduler import Retired
from alula.model.shares import shares
from alula.model.state import State
from alula.model.writes import Space, Writes, written


class Retirements:
    """What one engine has retired, in order.

    Attributes:
        addresses: program address of each instruction, uint32.
        checksums: for each core, of what it wrote, uint64; SYS is one for all cores.
    """

    def __init__(self, cores: int) -> None:
        self.addresses = array("I")
        self.checksums = tuple(array("Q") for _ in range(cores))

    def __len__(self) -> int:
        return len(self.addresses)


class RetirementRecorder:
    """A run's `on_retire`: keeps the retirements of each engine.

    Attributes:
        engines: by engine.
        stored: beats of memory that the program wrote to.
    """

    def __init__(self, state: State) -> None:
        self._state = state
        self.engines = {
            engine: Retirements(1 if engine is Engine.SYS else state.cores) for engine in Engine
        }
        self.stored: set[int] = set()

    def __call__(self, retired: Retired) -> None:
        """Keep what has just retired."""
        writes = written(self._state, retired)
        engine = self.engines[retired.op.instruction.engine]
        engine.addresses.append(retired.address)
        parts = shares(self._state, retired, writes)
        for checksums, part in zip(engine.checksums, parts, strict=True):
            checksums.append(part.checksum)
        if retired.op.instruction.engine is Engine.ST:
            stored = writes.byte[writes.space == np.uint64(Space.MEMORY)]
            self.stored.update(np.unique(stored // np.uint64(self._state.memory.width)).tolist())


class Seeker:
    """A run's `on_retire`: keeps one retirement of one engine, and what a core wrote.

    Attributes:
        found: retirement number `index`, counted from 0, and its writes; None until it comes.
    """

    def __init__(self, state: State, engine: Engine, index: int, core: int = 0) -> None:
        self._state, self._engine, self._left, self._core = state, engine, index, core
        self.found: tuple[Retired, Writes] | None = None

    def __call__(self, retired: Retired) -> None:
        """Keep what has just retired if it is the one."""
        if retired.op.instruction.engine is not self._engine:
            return
        if self._left == 0:
            parts = shares(self._state, retired, written(self._state, retired))
            self.found = retired, parts[self._core]
        self._left -= 1
