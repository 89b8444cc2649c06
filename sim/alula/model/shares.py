"""Which core wrote what of an instruction's writes."""

import numpy as np

from alula.isa import Engine
from alula.isa.effects import Space
from alula.model.scheduler import Retired
from alula.model.state import State
from alula.model.writes import WORD, Writes

_HALF = WORD // 2
"""Bytes of an element of the vector buffer, the least that a core has of its own."""


def shares(state: State, retired: Retired, writes: Writes) -> tuple[Writes, ...]:
    """What each core wrote, the first core first; SYS is one for all of them.

    Memory and weight stream are cut by channels, a product's results by the rows of a row block;
    zeros to the end of a result's word are its own. Everything else is the same in each core.
    """
    cores = 1 if retired.op.instruction.engine is Engine.SYS else state.cores
    owner = _owner(state, retired, writes) if cores > 1 else None
    if owner is None:
        return (writes,) * cores
    return tuple(_part(writes, owner == core) for core in range(cores))


def _owner(state: State, retired: Retired, writes: Writes) -> np.ndarray | None:
    """The core of each half of each word, [word, 2]; None where all cores write everything."""
    first = writes.byte.astype(np.int64)[:, None] + np.array([0, _HALF])
    values = retired.values
    instruction = retired.op.instruction
    if {one.space for one in instruction.effects.writes} & {Space.MEMORY, Space.STREAM}:
        width = state.memory.width
        return first % width // (width // state.cores)
    if instruction.engine in (Engine.MM, Engine.MV) and instruction.fields:
        element = first // _HALF - values["dst"] * state.lanes
        if values["rows"] > 1:
            element %= values["stride"] * state.lanes
        output = np.minimum(element, values["outputs"] - 1)
        return output % state.rows // (state.rows // state.cores)
    return None


def _part(writes: Writes, halves: np.ndarray) -> Writes:
    """The halves of words that are chosen, [word, 2], without words that are then empty."""
    chosen = np.repeat(halves, _HALF, axis=1)
    bits = (chosen << np.arange(WORD)).sum(axis=1).astype(np.uint64)
    bytes_ = np.where(chosen, np.uint8(0xFF), np.uint8(0)).view(np.uint64).reshape(-1)
    mask = writes.mask & bits
    kept = mask != 0
    return Writes(writes.place[kept], (writes.data & bytes_)[kept], mask[kept])
