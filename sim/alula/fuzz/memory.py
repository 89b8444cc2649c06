"""The memory of a random program: what lies where, and what it holds at the start."""

from dataclasses import dataclass, replace
from random import Random
from typing import Self

import numpy as np

from alula.design import GROUP, Design
from alula.isa import FORMATS, WEIGHT_FORMATS, Image, Region, WeightFormat
from alula.isa.formats import DENSE, QUARTERS, BeatKind, SparsityPattern
from alula.isa.kv import row_bytes


@dataclass(frozen=True)
class DrawnMatrix:
    """Weights in memory. `stride`: beats from one row block to the next, 0 if packed."""

    fmt: WeightFormat
    addr: int
    blocks: int
    groups: int
    stride: int = 0

    def beat(self, block: int) -> int:
        """Where a row block begins: with a stride any, otherwise each fourth."""
        if self.stride:
            return self.addr + block * self.stride
        assert block % QUARTERS == 0
        return self.addr + self.fmt.beats(block, self.groups)


@dataclass(frozen=True)
class DrawnTable:
    """Rows for LD.G: their type, first beat, number and length, and where row numbers lie."""

    type: str
    addr: int
    rows: int
    length: int
    ids: int
    listed: int


@dataclass(frozen=True)
class Cache:
    """A KV cache of some heads, for `positions` tokens.

    `k`, `v`: first beats; strides: beats from head to head; `pitch`: from one row block of V to the
    next; `scales`: from a head's V to its scales.
    """

    dim: int
    heads: int
    positions: int
    k: int
    k_stride: int
    v: int
    v_stride: int
    pitch: int
    scales: int

    @property
    def groups(self) -> int:
        """Groups of 32 of a row."""
        return -(-self.dim // GROUP)

    def holds(self, beat: int) -> bool:
        """Whether a beat is of the cache."""
        return self.k <= beat < self.v + self.heads * self.v_stride


@dataclass(frozen=True)
class Area:
    """Part of the activation buffer that holds matrices of `groups` groups a row."""

    name: str
    base: int
    groups: int
    tiles: int

    def holds(self, group: int) -> bool:
        """Whether a group of the buffer is of this part."""
        return self.base <= group < self.base + self.tiles * self.groups

    def read_as(self, groups: int) -> Self | None:
        """The same place with rows of so many groups; None where it is too small for one."""
        tiles = self.tiles * self.groups // groups
        return replace(self, groups=groups, tiles=tiles) if tiles else None


@dataclass(frozen=True)
class DrawnMemory:
    """Where a random program may read and write. All addresses and sizes are beats.

    `data` is only read, `store` read and written, `dump` written at the program's end.
    """

    data: Region
    store: Region
    dump: Region
    matrices: tuple[DrawnMatrix, ...]
    tables: tuple[DrawnTable, ...]
    cache: Cache
    areas: tuple[Area, ...]
    image: Image


def random_places(design: Design, random: Random) -> DrawnMemory:
    """Return a random memory, and how the activation buffer is divided."""
    return _Filling(design, random).places()


class _Filling:
    """Puts one thing after the other into memory."""

    def __init__(self, design: Design, random: Random) -> None:
        self.design, self.random = design, random
        self.numbers = np.random.default_rng(random.getrandbits(64))
        self.width = design.bytes_per_cycle
        self.parts: list[np.ndarray] = []
        self.end = 0

    def places(self) -> DrawnMemory:
        random, design = self.random, self.design
        data = self._region(self._vectors(random.randint(200, 600)))
        tables = tuple(self._table() for _ in range(2))
        cache = self._cache()
        sizes = {random.randint(1, 5) for _ in range(3)}
        matrices = [self._matrix(self._format(), groups) for groups in sizes for _ in range(2)]
        if random.random() < 0.25:
            matrices += 4 * [self._long_matrix()]
        matrices += self._heads(cache)
        areas = self._areas({matrix.groups for matrix in matrices})
        store = self._region(self._vectors(random.randint(32, 400)))
        # The vector buffer, each register in a beat, and a row of staging at each position.
        vector = -(-4 * design.vector_words * design.sfu.lanes // self.width)
        rows = FORMATS["W8"].beats(
            -(-self._staging_rows(cache.groups) // design.rows), cache.groups
        )
        dump = Region(self.end, vector + 32 + rows, stored=False)
        regions = {"data": data, "store": store, "dump": dump}
        image = Image(design.hash, np.concatenate(self.parts).reshape(-1, self.width), regions)
        return DrawnMemory(data, store, dump, tuple(matrices), tables, cache, areas, image)

    def _put(self, values: np.ndarray) -> int:
        """Append bytes from a beat on; return it."""
        start = self.end
        raw = np.ascontiguousarray(values).reshape(-1).view(np.uint8)
        self.parts.append(np.pad(raw, (0, -raw.size % self.width)))
        self.end += -(-raw.size // self.width)
        return start

    def _region(self, values: np.ndarray) -> Region:
        start = self._put(values)
        return Region(start, self.end - start)

    def _vectors(self, beats: int) -> np.ndarray:
        """Numbers around one; some or all are any bits at all, in half of the cases none."""
        count = beats * self.width // 4
        values = self.numbers.standard_normal(count).astype(np.float32)
        bits = values.view(np.uint32)
        wild = self.numbers.random(count) < self.random.choice((0, 0, 0, 0.01, 0.3, 1))
        bits[wild] = self.numbers.integers(0, 1 << 32, int(wild.sum()), np.uint32)
        return bits

    def _table(self) -> DrawnTable:
        kind = self.random.choice(("fp32", "bf16"))
        rows, length = self.random.randint(1, 40), self.random.randint(1, 70)
        beats = -(-length * (4 if kind == "fp32" else 2) // self.width)
        addr = self._put(self._vectors(rows * beats))
        listed = self.random.randint(1, 12)
        ids = self._put(self.numbers.integers(0, rows, listed, np.uint32))
        return DrawnTable(kind, addr, rows, length, ids, listed)

    def _format(self) -> WeightFormat:
        """Any format that the design has."""
        formats = WEIGHT_FORMATS.values()
        sparse = self.design.mpe.sparse
        return self.random.choice([one for one in formats if sparse or one.pattern is DENSE])

    def _long_matrix(self) -> DrawnMatrix:
        """One whose row blocks just fit the stream, if the activation buffer has room for it."""
        fmt, held = self._format(), self.design.stream_beats
        room = self.design.activation_groups // 3
        fitting = (groups for groups in range(room, 0, -1) if fmt.beats(1, groups) <= held)
        return self._matrix(fmt, next(fitting), most=5)

    def _matrix(self, fmt: WeightFormat, groups: int, most: int = 14) -> DrawnMatrix:
        blocks = self.random.randint(1, most)
        return DrawnMatrix(fmt, self._put(self._weights(fmt, blocks, groups)), blocks, groups)

    def _weights(self, fmt: WeightFormat, blocks: int, groups: int) -> np.ndarray:
        """Beats of any weights that the format can hold, [beats, bytes]."""
        raw = self.numbers.integers(0, 256, (fmt.beats(blocks, groups), self.width), np.uint8)

        def beats(kind: BeatKind) -> list[int]:
            count = fmt.count(kind, blocks, groups)
            return [fmt.place(kind, number, groups) for number in range(count)]

        if fmt.bits == 8:
            values = beats(BeatKind.VALUE)
            raw[values] = np.where(raw[values] == 128, 127, raw[values])  # from -127 to 127
        if fmt.scales and self.random.random() < 0.8:
            scales = beats(BeatKind.SCALE)
            factors = self.numbers.uniform(-4, 4, (len(scales), self.width // 2))
            bits = factors.astype(np.float32).view(np.uint32) >> 16
            raw[scales] = bits.astype(np.uint16).view(np.uint8)
        if fmt.pattern is not DENSE:
            indices = beats(BeatKind.INDEX)
            raw[indices] = self._indices(fmt.pattern, len(indices))
        return raw

    def _indices(self, pattern: SparsityPattern, beats: int) -> np.ndarray:
        """Beats of indices, [beats, bytes]: of each `of` inputs others are kept, in any order."""
        bits = pattern.index_bits
        runs = beats * self.width * 8 // (bits * pattern.kept)
        orders = np.tile(np.arange(pattern.of, dtype=np.uint8), (runs, 1))
        kept = self.numbers.permuted(orders, axis=1)[:, : pattern.kept]
        parts = kept.reshape(-1, 8 // bits) << bits * np.arange(8 // bits, dtype=np.uint8)
        return np.bitwise_or.reduce(parts, axis=1).reshape(beats, self.width)

    def _heads(self, cache: Cache) -> list[DrawnMatrix]:
        """Keys and values of every head, as products take them."""
        k = -(-cache.positions // self.design.rows), cache.groups
        v = -(-cache.dim // self.design.rows), cache.positions // GROUP, cache.pitch
        return [
            matrix
            for head in range(cache.heads)
            for matrix in (
                DrawnMatrix(FORMATS["W8"], cache.k + head * cache.k_stride, *k),
                DrawnMatrix(FORMATS["V8"], cache.v + head * cache.v_stride, *v),
            )
        ]

    def _cache(self) -> Cache:
        """A KV cache of a size that QUANTKV and staging can take. It holds numbers already."""
        design, random = self.design, self.random
        lanes = design.sfu.lanes
        dims = [dim for dim in (2, 4, 8, 32, 48, 64, 96, 128) if not dim % lanes or not lanes % dim]
        dim, heads = random.choice(dims), random.randint(1, 3)
        positions = GROUP * random.randint(1, 3)
        groups, time = -(-dim // GROUP), positions // GROUP
        keys = FORMATS["W8"], -(-positions // design.rows), groups
        # Staging rows are whole groups: ST.VALUE writes columns of that length.
        values = FORMATS["V8"], -(-groups * GROUP // design.rows), time
        factors = np.zeros((-(-2 * positions // self.width), self.width), np.uint8)
        k_beats = [self._weights(*keys) for _ in range(heads)]
        v_beats = [np.concatenate((self._weights(*values), factors)) for _ in range(heads)]
        k, v = (self._put(np.concatenate(beats)) for beats in (k_beats, v_beats))
        k_stride, v_stride = len(k_beats[0]), len(v_beats[0])
        pitch, scales = FORMATS["V8"].beats(1, time), v_stride - len(factors)
        return Cache(dim, heads, positions, k, k_stride, v, v_stride, pitch, scales)

    def _staging_rows(self, groups: int) -> int:
        return self.design.staging_bytes // row_bytes(groups)

    def _areas(self, sizes: set[int]) -> tuple[Area, ...]:
        """Divide the activation buffer: each number of groups has a part of its own."""
        areas, base = [], 0
        free = self.design.activation_groups - sum(sizes)
        for index, groups in enumerate(sorted(sizes, reverse=True)):
            tiles = min(1 + self.random.randint(0, free // groups), 8)
            areas.append(Area(f"a{index}", base, groups, tiles))
            base += tiles * groups
            free -= (tiles - 1) * groups
        return tuple(areas)
