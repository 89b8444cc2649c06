"""What an instruction wrote: read from the state right after it was executed.

The contract fixes the final contents of all that an instruction writes, but not in which order. So
its writes are words of 8 bytes, each with the bytes that count, and their checksum does not depend
on the order. Lock step compares these checksums with the gateware's.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple

import numpy as np

from alula.isa import WEIGHT_FORMATS, Op
from alula.isa.effects import STAGING_VALUES, Space
from alula.isa.formats import GROUP
from alula.model.kernels.checksum import checksum
from alula.model.kernels.weights import k_places, t_places
from alula.model.scheduler import Retired
from alula.model.state import State

__all__ = ["NUMBER", "STAGING_ROW", "WORD", "Space", "Writes", "spaces", "written"]

WORD = 8
"""Bytes of a word of `Writes`."""
NUMBER = 4
"""Bytes of a word that count in `Space.REGISTER` and `Space.BEST`."""
STAGING_ROW = STAGING_VALUES + GROUP
"""Bytes from one row of staging to the next in `Space.STAGING`: 32 parts of 16."""
_SPACE_SHIFT = np.uint64(56)
_ALL = np.uint64(0xFF)


class Writes(NamedTuple):
    """Words: their space and number in one, their bytes, and a bit for each byte that counts.

    All uint64. Bytes that do not count are zero.
    """

    place: np.ndarray
    data: np.ndarray
    mask: np.ndarray

    @property
    def checksum(self) -> int:
        """The checksum of these words."""
        return int(checksum(*self))

    @property
    def space(self) -> np.ndarray:
        """The space of each word, uint64."""
        return self.place >> _SPACE_SHIFT

    @property
    def byte(self) -> np.ndarray:
        """The first byte of each word within its space, uint64."""
        return (self.place & ((np.uint64(1) << _SPACE_SHIFT) - np.uint64(1))) * np.uint64(WORD)


def written(state: State, retired: Retired) -> Writes:
    """What an instruction wrote that has just retired."""
    name = retired.op.name
    if name in _WRITES:
        parts = list(_WRITES[name][1](state, retired.values))
    elif "rd" in retired.values:
        parts = [_number(Space.REGISTER, retired.result)] if retired.values["rd"] else []
    else:
        parts = []
    if len(parts) == 1:
        return parts[0]
    columns = zip(*parts, strict=True) if parts else ([np.empty(0, np.uint64)],) * 3
    return Writes(*(np.concatenate(column) for column in columns))


def spaces(op: Op) -> frozenset[Space]:
    """The spaces that an instruction may write."""
    if op.name in _WRITES:
        return _WRITES[op.name][0]
    return frozenset({Space.REGISTER} if op.values.get("rd") else ())


_Values = Mapping[str, Any]
_Writer = Callable[[State, _Values], Iterator[Writes]]
_WRITES: dict[str, tuple[frozenset[Space], _Writer]] = {}


def _writes(names: str, *targets: Space) -> Callable[[_Writer], _Writer]:
    def register(function: _Writer) -> _Writer:
        for name in names.split():
            _WRITES[name] = frozenset(targets), function
        return function

    return register


# From ranges of a space to words


def _whole(space: Space, first: np.ndarray, data: np.ndarray) -> Writes:
    """Rows of whole words: `data` [row, byte], its rows' first bytes in `first`."""
    words = np.ascontiguousarray(data).view(np.uint64)
    place = (first // WORD)[:, None] + np.arange(words.shape[1])
    flat = place.reshape(-1).astype(np.uint64) | np.uint64(space) << _SPACE_SHIFT
    return Writes(flat, words.reshape(-1), np.full(flat.size, _ALL))


def _scattered(space: Space, places: np.ndarray, values: np.ndarray) -> Writes:
    """Bytes `values` at `places`."""
    words, index = np.unique(places // WORD, return_inverse=True)
    within = (places % WORD).astype(np.uint64)
    data, mask = np.zeros(words.size, np.uint64), np.zeros(words.size, np.uint64)
    np.bitwise_or.at(data, index, values.astype(np.uint64) << within * np.uint64(8))
    np.bitwise_or.at(mask, index, np.uint64(1) << within)
    return Writes(words.astype(np.uint64) | np.uint64(space) << _SPACE_SHIFT, data, mask)


def _small(space: Space, words: np.ndarray, values: np.ndarray, size: int) -> Writes:
    """A number of `size` bytes in each word."""
    place = words.reshape(-1).astype(np.uint64) | np.uint64(space) << _SPACE_SHIFT
    mask = np.full(place.size, (1 << size) - 1, np.uint64)
    return Writes(place, values.reshape(-1).astype(np.uint64), mask)


def _number(space: Space, value: int) -> Writes:
    return _small(space, np.zeros(1), np.array([value], np.uint64), NUMBER)


def _vector(state: State, word: int, stride: int, rows: int, words: int) -> Iterator[Writes]:
    """Rows of whole words of the vector buffer."""
    if not rows or not words:
        return
    size = 4 * state.lanes
    flat = state.vector_bits.view(np.uint8).reshape(-1, size)
    first = word + np.arange(rows) * stride
    index = first[:, None] + np.arange(words)
    yield _whole(Space.VECTOR, first * size, flat[index].reshape(rows, -1))


# Instructions


@_writes("LD.W", Space.STREAM)
def _(state: State, v: _Values) -> Iterator[Writes]:
    memory, fmt = state.memory, WEIGHT_FORMATS[v["fmt"], v["nm"]]
    if v["stride"]:
        beats = fmt.beats(1, v["groups"])
        index = v["addr"] + np.arange(v["blocks"])[:, None] * v["stride"] + np.arange(beats)
        data = memory.bytes.reshape(-1, memory.width)[index.reshape(-1)]
    else:
        end = v["addr"] + fmt.beats(v["blocks"], v["groups"])
        data = memory.bytes[v["addr"] * memory.width : end * memory.width]
    yield _whole(Space.STREAM, np.zeros(1, np.int64), data.reshape(1, -1))


@_writes("LD.V", Space.VECTOR)
def _(state: State, v: _Values) -> Iterator[Writes]:
    yield from _vector(state, v["dst"], 0, 1, state.words(v["count"]))


@_writes("LD.G", Space.VECTOR)
def _(state: State, v: _Values) -> Iterator[Writes]:
    yield from _vector(state, v["dst"], 0, 1, v["count"] * state.words(v["len"]))


@_writes("ST.V", Space.MEMORY)
def _(state: State, v: _Values) -> Iterator[Writes]:
    memory = state.memory
    places = v["addr"] * memory.width + np.arange(4 * v["count"])
    yield _scattered(Space.MEMORY, places, memory.bytes[places])


@_writes("ST.W", Space.MEMORY)
def _(state: State, v: _Values) -> Iterator[Writes]:
    memory = state.memory
    places = v["addr"] * memory.width + 4 * v["skip"] + np.arange(4)
    yield _scattered(Space.MEMORY, places, memory.bytes[places])


@_writes("ST.K", Space.MEMORY)
def _(state: State, v: _Values) -> Iterator[Writes]:
    memory, width = state.memory, state.memory.width
    places = k_places(
        width, memory.lane, v["addr"] * width, v["stride"] * width, v["position"], v["rows"],
        v["heads"], v["groups"],
    ).reshape(-1)  # fmt: skip
    if v["groups"]:
        yield _scattered(Space.MEMORY, places, memory.bytes[places])


@_writes("ST.T", Space.MEMORY)
def _(state: State, v: _Values) -> Iterator[Writes]:
    memory, width = state.memory, state.memory.width
    places = t_places(
        width, memory.lane, v["addr"] * width, v["stride"] * width, v["position"], v["rows"],
        v["heads"], v["groups"], v["pitch"] * width, v["scales"] * width,
    ).reshape(-1)  # fmt: skip
    if v["groups"]:
        yield _scattered(Space.MEMORY, places, memory.bytes[places])


@_writes("MM MV", Space.VECTOR)
def _(state: State, v: _Values) -> Iterator[Writes]:
    yield from _vector(state, v["dst"], v["stride"], v["rows"], state.words(v["outputs"]))


@_writes("RMSNORM LAYERNORM", Space.VECTOR)
def _(state: State, v: _Values) -> Iterator[Writes]:
    yield from _vector(state, v["dst"], 0, 1, v["rows"] * state.words(v["len"]))


@_writes("SOFTMAX", Space.VECTOR)
def _(state: State, v: _Values) -> Iterator[Writes]:
    rows = v["rows"]
    if rows:
        last = v["len"] + (rows - 1) * int(v["step"])
        width = -(-last // GROUP) * GROUP
        yield from _vector(state, v["src"], v["stride"], rows, state.words(width))


@_writes("ROPE", Space.VECTOR)
def _(state: State, v: _Values) -> Iterator[Writes]:
    yield from _vector(state, v["src"], v["stride"], v["rows"], state.words(v["heads"] * v["dim"]))


@_writes("ACT", Space.VECTOR)
def _(state: State, v: _Values) -> Iterator[Writes]:
    yield from _vector(state, v["dst"], 0, 1, v["count"])


@_writes("ADD", Space.VECTOR)
def _(state: State, v: _Values) -> Iterator[Writes]:
    yield from _vector(state, v["dst"], 0, 1, v["rows"] * v["words"])


@_writes("QUANT", Space.ACTIVATIONS, Space.SIDES)
def _(state: State, v: _Values) -> Iterator[Writes]:
    groups = -(-v["len"] // GROUP)
    if not v["rows"] or not groups:
        return
    values, scale, exponent = state.activations
    row = (v["slot"] + np.arange(v["rows"]))[:, None]
    slot = row % state.tokens
    first = v["dst"] + row // state.tokens * groups
    group = first + np.arange(groups)
    at = group * state.tokens + slot
    q = values[group, slot]
    yield _whole(Space.ACTIVATIONS, at.reshape(-1) * GROUP, q.reshape(-1, GROUP).view(np.uint8))
    total = q.sum(axis=-1, dtype=np.int64)
    power = np.broadcast_to(exponent[first, slot].astype(np.int64), total.shape)
    side = scale[group, slot] | (total & 0x3FFF) << 8 | (power & 0x3FF) << 22
    yield _small(Space.SIDES, at, side, 4)


@_writes("QUANTKV", Space.STAGING, Space.SCALES)
def _(state: State, v: _Values) -> Iterator[Writes]:
    rows, groups = v["rows"] * v["heads"], -(-v["dim"] // GROUP)
    if not rows or not groups:
        return
    row = v["dst"] + np.arange(rows)
    values = state.staging[v["dst"] : v["dst"] + rows, : GROUP * groups]
    yield _whole(Space.STAGING, row * STAGING_ROW, np.ascontiguousarray(values).view(np.uint8))
    yield _small(Space.SCALES, row, state.staging_scale[row], 2)


@_writes("ARGMAX", Space.BEST)
def _(state: State, v: _Values) -> Iterator[Writes]:
    yield _number(Space.BEST, max(state.best_index, 0))
