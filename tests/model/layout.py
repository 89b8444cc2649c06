"""Weight matrices to beats, from the positions that `alula.isa.formats` states."""

from dataclasses import dataclass

import numpy as np

from alula.design import BLOCK, GROUP, Design
from alula.isa import WEIGHT_FORMATS, WeightFormat
from alula.isa.formats import BeatKind


@dataclass(frozen=True)
class Weights:
    """Integers of a matrix: stored values [N, K]; scales and mins [N, G]; bf16 bits of rows.

    `kept` [N, K / 16, n]: the inputs of each block that are stored, in that order.
    """

    fmt: WeightFormat
    q: np.ndarray
    s: np.ndarray
    m: np.ndarray
    c: np.ndarray
    kept: np.ndarray

    @property
    def integers(self) -> np.ndarray:
        """int64 [N, K], what multiplies the activations."""
        q = self.q.astype(np.int64)
        if not self.fmt.metas:
            return q
        s, m = (np.repeat(part.astype(np.int64), GROUP, 1) for part in (self.s, self.m))
        if self.fmt.pattern.segments > 1:
            return s * q
        return s * (q - (1 << self.fmt.bits - 1)) + 4 * m

    @property
    def factors(self) -> np.ndarray:
        """float32 [N]."""
        if self.fmt.name == "V8":
            return np.ones(self.q.shape[0], np.float32)
        return (self.c.astype(np.uint32) << 16).view(np.float32)


def dense(fmt: str, q: np.ndarray, s: np.ndarray, m: np.ndarray, c: np.ndarray) -> Weights:
    """Weights without a pattern."""
    kept = np.tile(np.arange(BLOCK), (len(q), q.shape[1] // BLOCK, 1))
    return Weights(WEIGHT_FORMATS[fmt, "dense"], q, s, m, c, kept)


def random_weights(
    fmt: str, design: Design, blocks: int, groups: int, seed: int = 0, nm: str = "dense"
) -> Weights:
    """Any values that the format can hold."""
    rng = np.random.default_rng(seed)
    item = WEIGHT_FORMATS[fmt, nm]
    pattern = item.pattern
    rows, runs = blocks * design.rows * pattern.segments, groups * GROUP // BLOCK
    factors = rng.uniform(-4, 4, rows).astype(np.float32).view(np.uint32) >> 16
    high = 1 << item.bits - (pattern.segments > 1 or fmt in ("W8", "V8"))
    q = rng.integers(0 if item.excess else 1 - high, high, (rows, runs, BLOCK))
    kept = np.tile(np.arange(BLOCK), (rows, runs, 1))
    if pattern.segments > 1:
        order = rng.permuted(
            np.tile(np.arange(pattern.of), (rows, runs * BLOCK // pattern.of, 1)), axis=2
        )
        kept = (
            order[..., : pattern.kept]
            + np.arange(order.shape[1])[:, None] % (BLOCK // pattern.of) * pattern.of
        )
        kept = kept.reshape(rows, runs, -1)
        mask = np.zeros(q.shape, bool)
        np.put_along_axis(mask, kept, True, 2)
        q *= mask
    return Weights(
        item,
        q.reshape(rows, -1),
        rng.integers(0, 256, (rows, groups)) - 128 * (pattern.segments > 1),
        rng.integers(-128, 128, (rows, groups)),
        factors.astype(np.uint16),
        kept,
    )


def pack(weights: Weights, design: Design, stride: int = 0) -> np.ndarray:
    """uint8 [beats, B]."""
    fmt = weights.fmt
    rows, lane, parts = design.rows, design.memory.beat_bytes, fmt.pattern.segments
    per, quarter = lane // 8, 2 * lane
    each = rows * parts
    blocks, groups = len(weights.q) // each, weights.q.shape[1] // GROUP
    if stride:
        beats = np.zeros((stride * (blocks - 1) + fmt.beats(1, groups), rows * 8), np.uint8)
        for block in range(blocks):
            part = slice(block * each, block * each + each)
            arrays = (getattr(weights, name)[part] for name in ("q", "s", "m", "c", "kept"))
            one = pack(Weights(fmt, *arrays), design)
            beats[block * stride : block * stride + len(one)] = one
        return beats
    beats = np.zeros((fmt.beats(blocks, groups), design.channels, lane), np.uint8)
    n = np.arange(len(weights.q))
    block, part, channel, row = n // each, n // rows % parts, n % rows // per, n % per

    def put(kind: BeatKind, at: np.ndarray, values: np.ndarray, bits: int) -> None:
        """Values [N, ...], `at` bits into what their channel has of a kind."""
        count = fmt.count(kind, blocks, groups)
        string = np.zeros((design.channels, count * 8 * lane), np.uint8)
        own = np.broadcast_to(channel.reshape(-1, *[1] * (at.ndim - 1)), at.shape)
        for bit in range(bits):
            string[own, at + bit] = values >> bit & 1
        packed = np.packbits(string, axis=1, bitorder="little").reshape(design.channels, -1, lane)
        beats[fmt.place(kind, np.arange(count), groups)] = packed.swapaxes(0, 1)

    if fmt.scales:
        at = block * fmt.quarters(BeatKind.SCALE) * quarter + 16 * (part * per + row)
        put(BeatKind.SCALE, at, weights.c, 16)
    group = block[:, None] * groups + np.arange(groups)
    if fmt.metas:
        at = group * fmt.quarters(BeatKind.META) * quarter + 8 * (part * per + row)[:, None]
        values = weights.s
        if parts == 1:
            at = np.stack([at, at + 8 * per], 2)
            values = np.stack([values, weights.m], 2)
        put(BeatKind.META, at, values, 8)
    size = weights.kept.shape[2]
    run = block[:, None] * 2 * groups + np.arange(2 * groups)
    slot = run * quarter + (row * BLOCK + part * size)[:, None]
    slot = slot[..., None] + np.arange(size)
    values = weights.q.reshape(len(n), -1, BLOCK)
    values = np.take_along_axis(values, weights.kept, 2)
    put(BeatKind.VALUE, slot * fmt.bits, values, fmt.bits)
    if parts > 1:
        bits = fmt.pattern.index_bits
        put(BeatKind.INDEX, slot * bits, weights.kept % fmt.pattern.of, bits)
    return beats.reshape(len(beats), -1)
