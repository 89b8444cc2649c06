"""External memory, and the weight matrices decoded from it."""

import mmap
from functools import lru_cache

import numpy as np

from alula.isa import WeightFormat
from alula.isa.formats import DENSE, EXCESS, FORMATS, BeatKind
from alula.model.errors import OutOfRange, UndefinedBehaviour
from alula.model.kernels.unpack import unpack_any
from alula.model.kernels.weights import TILE, unpack_8, unpack_w4

_CACHED = np.uint8(1)
_STORED = np.uint8(2)
_NORESERVE = getattr(mmap, "MAP_NORESERVE", 0x4000)


def _zeros(size: int) -> np.ndarray:
    """Bytes that cost nothing until they are written."""
    flags = mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | _NORESERVE
    return np.frombuffer(mmap.mmap(-1, size, flags=flags), np.uint8)


@lru_cache(maxsize=4096)
def _beats(fmt: WeightFormat, blocks: int, groups: int) -> int:
    return fmt.beats(blocks, groups)


class Weights:
    """Decoded weights.

    Attributes:
        shape: Format, row blocks, groups in a row.
        beats: Beats in the weight stream.
        arrays: Arguments of the product kernels.
    """

    __slots__ = ("arrays", "beats", "shape")

    def __init__(
        self, shape: tuple[WeightFormat, int, int], arrays: tuple[np.ndarray, ...]
    ) -> None:
        self.shape, self.arrays = shape, arrays
        self.beats = _beats(*shape)


Key = tuple[WeightFormat, int, int, int, int]
"""Format, first beat, row blocks, groups, stride."""


class Memory:
    """`beats` beats of `width` bytes; each channel's part of one is `lane` bytes.

    Every beat has a mark: whether a cached matrix lies there, and whether an instruction of a
    program has written it (KV cache), which is then decoded anew each time.
    """

    def __init__(self, beats: int, width: int, lane: int) -> None:
        self.beats, self.width, self.lane = beats, width, lane
        self.clear()

    def clear(self) -> None:
        """All zeros, nothing cached."""
        self.bytes = _zeros(self.beats * self.width)
        self.marks = _zeros(self.beats)
        self.halves = self.bytes.view(np.uint16)
        self.words = self.bytes.view(np.uint32)
        self._matrices: dict[Key, Weights] = {}
        self._changing: set[Key] = set()

    def check(self, what: str, beat: int, count: int) -> None:
        """OutOfRange unless beats `beat`.. exist."""
        if beat < 0 or count < 0 or beat + count > self.beats:
            limit = f"within {self.beats} beats of memory"
            raise OutOfRange(f"{what} must be {limit}, not {beat}..{beat + count - 1}")

    def fill(self, beat: int, data: np.ndarray) -> None:
        """Write bytes from the start of a beat."""
        self.touch(beat, -(-data.size // self.width), _CACHED)
        start = beat * self.width
        self.bytes[start : start + data.size] = data

    def touch(self, beat: int, count: int, mark: np.uint8 = _STORED) -> None:
        """Beats are about to be written; `mark` is what to remember of it besides."""
        marks = self.marks[beat : beat + count]
        if (marks & _CACHED).any():
            self._forget(beat, beat + count)
        if mark is _STORED:
            marks |= _STORED

    def _extent(self, key: Key) -> tuple[int, int]:
        fmt, start, blocks, groups, stride = key
        if stride:
            return start, start + (blocks - 1) * stride + _beats(fmt, 1, groups)
        return start, start + _beats(fmt, blocks, groups)

    def _forget(self, start: int, end: int) -> None:
        for key in list(self._matrices):
            first, last = self._extent(key)
            if first < end and start < last:
                del self._matrices[key]

    def forget_stored(self) -> None:
        """Drop cached matrices that a program has written into."""
        for key in list(self._matrices):
            first, last = self._extent(key)
            if (self.marks[first:last] & _STORED).any():
                del self._matrices[key]

    def matrix(
        self, fmt: WeightFormat, start: int, blocks: int, groups: int, stride: int
    ) -> Weights:
        """The matrix at beat `start`, as it is in memory now."""
        key = (fmt, start, blocks, groups, stride)
        found = self._matrices.get(key)
        if found is not None:
            return found
        if key not in self._changing:
            first, last = self._extent(key)
            marks = self.marks[first:last]
            if (marks & _STORED).any():
                self._changing.add(key)
            else:
                marks |= _CACHED
                found = self._matrices[key] = self._decode(*key)
                return found
        return self._decode(*key)

    def _decode(
        self, fmt: WeightFormat, start: int, blocks: int, groups: int, stride: int
    ) -> Weights:
        rows = blocks * (self.width // 8) * fmt.pattern.segments
        place = ((self.bytes, self.width, self.lane), start * self.width, blocks, groups)
        shape = (fmt, blocks, groups)
        if fmt == FORMATS["W4"]:
            tiles = -(-rows // TILE)
            q = np.zeros((tiles, groups, 16, TILE), np.uint8)
            s = np.zeros((tiles, groups, TILE), np.int16)
            m = np.zeros((tiles, groups, TILE), np.int8)
            c = np.empty(rows, np.float32)
            unpack_w4(*place, q, s, m, c.view(np.uint32))
            return Weights(shape, (q, s, m, c))
        q = np.empty((rows, 32 * groups), np.int8)
        c = np.ones(rows, np.float32)
        if fmt.pattern is DENSE and not fmt.metas:
            unpack_8(*place, stride * self.width, fmt.scales, q, c.view(np.uint32))
            return Weights(shape, (q, c))
        s = np.ones((rows, groups), np.int16)
        m = np.zeros((rows, groups), np.int8)
        pattern = fmt.pattern
        needs = np.array([fmt.quarters(kind) for kind in BeatKind])
        stored = (fmt.bits, pattern.kept, pattern.of, pattern.index_bits)
        arrays = (q, s, m, c.view(np.uint32))
        if unpack_any(*place, stored, needs, arrays):
            raise UndefinedBehaviour(f"LD.W {pattern.name} inputs must be stored once, not twice")
        return Weights(shape, (*_tiles(q, s, m), c) if fmt.metas else (q, c))


def _tiles(q: np.ndarray, s: np.ndarray, m: np.ndarray) -> list[np.ndarray]:
    """Signed values of at most 4 bits, scales and mins as `unpack_w4` gives them."""
    groups = s.shape[1]
    padding = ((0, -len(q) % TILE), (0, 0))
    values = np.pad((q + EXCESS).view(np.uint8), padding)
    values = values.reshape(-1, TILE, groups, 2, 16).transpose(0, 2, 3, 4, 1)
    return [
        np.ascontiguousarray(values[:, :, 0] | values[:, :, 1] << 4),
        *(
            np.ascontiguousarray(np.pad(part, padding).reshape(-1, TILE, groups).swapaxes(1, 2))
            for part in (s, m)
        ),
    ]
