"""What an instruction wrote: read from the state right after it was executed.

The contract fixes the final contents of all that an instruction writes, but not in which order. So
its writes are words of 8 bytes, each with the bytes that count, and their checksum does not depend
on the order. Lock step compares these checksums with the gateware's.
"""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from alula.design import GROUP
from alula.isa import Op
from alula.isa.effects import Range, Space
from alula.isa.formula import numbers
from alula.isa.kv import STAGING_VALUES, kv_places
from alula.model.kernels.checksum import checksum
from alula.model.places import Known, memory_bytes, slots, staging_rows, words
from alula.model.scheduler import Retired
from alula.model.state import State

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
    instruction, values = retired.op.instruction, retired.values
    parts: list[Writes] = []
    if all(values[name] for name in instruction.counts):
        known = state.sizes | numbers(values)
        for one in instruction.effects.writes:
            parts += _WRITERS[one.space](state, one, known, retired)
    if len(parts) == 1:
        return parts[0]
    columns = zip(*parts, strict=True) if parts else ([np.empty(0, np.uint64)],) * 3
    return Writes(*(np.concatenate(column) for column in columns))


def spaces(op: Op) -> frozenset[Space]:
    """The spaces that an instruction may write."""
    found = {one.space for one in op.instruction.effects.writes}
    found |= {_BESIDE[space] for space in found & _BESIDE.keys()}
    return frozenset(found - ({Space.REGISTER} if not op.values.get("rd") else set()))


_BESIDE = {Space.ACTIVATIONS: Space.SIDES, Space.STAGING: Space.SCALES}
"""What is written with a space."""


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


# Ranges


def _vector(state: State, one: Range, known: Known, _: Retired) -> Iterator[Writes]:
    index = words(one, known)
    if index.size:
        size = 4 * state.lanes
        flat = state.vector_bits.view(np.uint8).reshape(-1, size)
        yield _whole(Space.VECTOR, index[:, 0] * size, flat[index].reshape(len(index), -1))


def _activations(state: State, one: Range, known: Known, _: Retired) -> Iterator[Writes]:
    values, scale, exponent = (part.reshape(-1, *part.shape[2:]) for part in state.activations)
    at = slots(one, known)
    q = values[at]
    yield _whole(Space.ACTIVATIONS, at.reshape(-1) * GROUP, q.reshape(-1, GROUP).view(np.uint8))
    total = q.sum(axis=-1, dtype=np.int64)
    side = scale[at] | (total & 0x3FFF) << 8 | (exponent[at].astype(np.int64) & 0x3FF) << 22
    yield _small(Space.SIDES, at, side, 4)


def _staging(state: State, one: Range, known: Known, _: Retired) -> Iterator[Writes]:
    row = staging_rows(one, known)
    values = np.ascontiguousarray(state.staging[row, : GROUP * one.count(known)])
    yield _whole(Space.STAGING, row * STAGING_ROW, values.view(np.uint8))
    yield _small(Space.SCALES, row, state.staging_scale[row], 2)


def _memory(state: State, one: Range, known: Known, retired: Retired) -> Iterator[Writes]:
    memory = state.memory
    if one.part:
        others = (other for other in retired.op.instruction.effects.writes if not other.part)
        places = kv_places(memory.width, memory.lane, **retired.values)
        for other in others:
            places = np.setdiff1d(places, memory_bytes(other, known))
    else:
        places = memory_bytes(one, known)
    places = places.reshape(-1)
    yield _scattered(Space.MEMORY, places, memory.bytes[places])


def _stream(state: State, one: Range, known: Known, retired: Retired) -> Iterator[Writes]:
    """The bytes that were read, in order."""
    (source,) = retired.op.instruction.effects.reads
    data = state.memory.bytes[memory_bytes(source, known)]
    yield _whole(Space.STREAM, np.zeros(1, np.int64), data.reshape(1, one.count(known)))


def _register(_state: State, _range: Range, _known: Known, retired: Retired) -> Iterator[Writes]:
    if retired.values["rd"]:
        yield _number(Space.REGISTER, retired.result)


def _best(state: State, _range: Range, _known: Known, _: Retired) -> Iterator[Writes]:
    yield _number(Space.BEST, max(state.best_index, 0))


_WRITERS = {
    Space.VECTOR: _vector,
    Space.ACTIVATIONS: _activations,
    Space.STAGING: _staging,
    Space.MEMORY: _memory,
    Space.STREAM: _stream,
    Space.REGISTER: _register,
    Space.BEST: _best,
}
