"""Weight matrices to beats, from the positions that `alula.isa.formats` states."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from alula.design import Design
from alula.isa import FORMATS


@dataclass(frozen=True)
class Weights:
    """Integers of a matrix: stored values [N, K]; scales and mins [N, G]; bf16 bits of rows."""

    fmt: str
    q: np.ndarray
    s: np.ndarray
    m: np.ndarray
    c: np.ndarray

    @property
    def integers(self) -> np.ndarray:
        """int64 [N, K], what multiplies the activations."""
        q = self.q.astype(np.int64)
        if self.fmt != "W4":
            return q
        s, m = (np.repeat(part.astype(np.int64), 32, 1) for part in (self.s, self.m))
        return s * (q - 8) + 4 * m

    @property
    def factors(self) -> np.ndarray:
        """float32 [N]."""
        if self.fmt == "V8":
            return np.ones(self.q.shape[0], np.float32)
        return (self.c.astype(np.uint32) << 16).view(np.float32)


def random_weights(fmt: str, design: Design, blocks: int, groups: int, seed: int = 0) -> Weights:
    """Any values that the format can hold."""
    rng = np.random.default_rng(seed)
    rows = blocks * design.rows
    low, high = (0, 16) if fmt == "W4" else (-127, 128)
    factors = rng.uniform(-4, 4, rows).astype(np.float32).view(np.uint32) >> 16
    return Weights(
        fmt,
        rng.integers(low, high, (rows, 32 * groups)),
        rng.integers(0, 256, (rows, groups)),
        rng.integers(-128, 128, (rows, groups)),
        factors.astype(np.uint16),
    )


def pack(weights: Weights, design: Design, stride: int = 0) -> np.ndarray:
    """uint8 [beats, B]."""
    fmt = FORMATS[weights.fmt]
    rows, lane = design.rows, design.memory.beat_bytes
    per = lane // 8
    blocks, groups = weights.q.shape[0] // rows, weights.q.shape[1] // 32
    size = stride * (blocks - 1) + fmt.beats(1, groups) if stride else fmt.beats(blocks, groups)
    beats = np.zeros((size, design.bytes_per_cycle), np.uint8)
    for n in range(weights.q.shape[0]):
        block, channel, row = n // rows, n % rows // per, n % per
        base, index = (block * stride, 0) if stride else (0, block)

        def put(beat: int, at: int, value: int, channel: int = channel, base: int = base) -> None:
            beats[base + beat + at // lane, channel * lane + at % lane] |= value

        if fmt.scales:
            beat = fmt.scale_beat(index, groups)
            put(beat, 2 * (index % 4 * per + row), int(weights.c[n]) & 255)
            put(beat, 2 * (index % 4 * per + row) + 1, int(weights.c[n]) >> 8)
        for group in range(groups):
            if fmt.metas:
                beat, at = (
                    fmt.meta_beat(index, group, groups),
                    (index * groups + group) % 4 * 2 * per,
                )
                put(beat, at + row, int(weights.s[n, group]))
                put(beat, at + per + row, int(weights.m[n, group]) & 255)
            values = fmt.value_beat(index, group, groups)
            for k in range(32):
                value = int(weights.q[n, 32 * group + k]) & (1 << fmt.bits) - 1
                beat = values + k // 16 * fmt.bits // 4
                bit = (row * 16 + k % 16) * fmt.bits
                put(beat, bit // 8, value << bit % 8)
    return beats
