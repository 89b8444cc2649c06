"""ST: vector buffer and staging to memory."""

from __future__ import annotations

import numpy as np

from alula.model.handlers.registry import executes
from alula.model.kernels.weights import k_places, store_rows, t_places
from alula.model.state import State


@executes("ST.V")
def _(state: State, src: int, addr: int, count: int) -> None:
    memory = state.memory
    beats = -(-4 * count // memory.width)
    memory.touch(addr, beats)
    start, source = addr * memory.width // 4, src * state.lanes
    memory.words[start : start + count] = state.vector_bits[source : source + count]
    state.bytes_written += 4 * count


@executes("ST.W")
def _(state: State, value: int, addr: int, skip: int) -> None:
    memory = state.memory
    memory.touch(addr, 1)
    memory.words[addr * memory.width // 4 + skip] = value
    state.bytes_written += 4


@executes("ST.K")
def _(
    state: State,
    src: int,
    addr: int,
    heads: int,
    rows: int,
    groups: int,
    stride: int,
    position: int,
) -> None:
    memory = state.memory
    start, step = (beat * memory.width for beat in (addr, stride))
    places = k_places(memory.width, memory.lane, start, step, position, rows, heads, groups)
    _store_rows(state, places, src)


@executes("ST.T")
def _(
    state: State,
    src: int,
    addr: int,
    heads: int,
    rows: int,
    groups: int,
    stride: int,
    position: int,
    pitch: int,
    scales: int,
) -> None:
    memory = state.memory
    start, step, pitch, scales = (beat * memory.width for beat in (addr, stride, pitch, scales))
    sizes = (position, rows, heads, groups, pitch, scales)
    _store_rows(state, t_places(memory.width, memory.lane, start, step, *sizes), src)


def _store_rows(state: State, places: np.ndarray, src: int) -> None:
    memory = state.memory
    place = (places, src, state.staging, state.staging_scale)
    if store_rows(memory.bytes, memory.marks, memory.width, *place):
        memory.forget_stored()
    state.bytes_written += places.size
