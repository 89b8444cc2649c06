"""Matrices to beats of the weight stream and back, as docs/reference/formats.md lays them out."""

import numpy as np
from numpy.typing import NDArray

from alula.design import BLOCK, GROUP
from alula.isa.formats import (
    DENSE,
    QUARTERS,
    WEIGHT_FORMATS,
    BeatKind,
    SparsityPattern,
    WeightFormat,
)
from alula.quant.bits import from_bits, to_bits
from alula.quant.floats import bf16_bits, from_bf16_bits
from alula.quant.matrix import QuantizedMatrix

Bytes = NDArray[np.uint8]


def channel_rows(channels: int, rows: int) -> int:
    """Rows of a row block that one channel carries. ValueError if they do not divide evenly."""
    if channels < 1 or rows < 1 or rows % channels:
        raise ValueError(f"rows must be a positive multiple of channels ({channels}), not {rows}")
    return rows // channels


def pack(matrix: QuantizedMatrix, channels: int, rows: int) -> Bytes:
    """The beats of a matrix, packed.

    Args:
        matrix: of N rows and K inputs.
        channels: memory channels; channel c owns rows from ``c * rows / channels`` of each
            segment of a row block.
        rows: R, the rows of a segment; N is padded to whole row blocks with zeros.

    Returns:
        uint8 ``[beats, 8 * rows]``, C-contiguous, `WeightFormat.beats` of them.

    Raises:
        ValueError: `rows` is not a multiple of `channels`.
    """
    share = channel_rows(channels, rows)
    fmt = matrix.layout
    segments, groups = fmt.pattern.segments, matrix.groups
    blocks = -(-matrix.shape[0] // (segments * rows))
    # Rows by row block, segment, channel and chain.
    split = (blocks, segments, channels, share)
    beats = np.zeros((fmt.beats(blocks, groups), channels, 8 * share), np.uint8)

    def put(kind: BeatKind, runs: NDArray) -> None:
        """Beats of `runs`, ``[groups of all row blocks or row blocks, channels, ...]``."""
        count = fmt.count(kind, blocks, groups)
        data = _as_bytes(runs).reshape(len(runs), channels, -1).swapaxes(0, 1)
        data = _padded(data.reshape(channels, -1), count * 8 * share, axis=1)
        places = fmt.place(kind, np.arange(count), groups)  # pyright: ignore[reportArgumentType]
        beats[places] = data.reshape(channels, count, 8 * share).swapaxes(0, 1)

    def put_values(kind: BeatKind, values: Bytes, bits: int) -> None:
        """Values of each row of whole row blocks, ``[rows, groups, 2, values in a block]``."""
        chains = values.reshape(*split, groups, 2, -1)
        chains = chains.transpose(0, 4, 2, 5, 3, 1, 6).reshape(blocks * groups, -1, BLOCK)
        put(kind, to_bits(np.ascontiguousarray(chains), bits))

    q = _padded(matrix.q.view(np.uint8), blocks * segments * rows)
    inputs = q.reshape(-1, groups, 2, BLOCK)
    if fmt.pattern is not DENSE:
        index = kept_inputs(q.view(np.int8), fmt.pattern).reshape(*inputs.shape[:-1], -1)
        inputs = np.take_along_axis(inputs, index, axis=-1) & np.uint8((1 << fmt.bits) - 1)
        within = (index % fmt.pattern.of).astype(np.uint8)
        put_values(BeatKind.INDEX, within, fmt.pattern.index_bits)
    put_values(BeatKind.VALUE, inputs, fmt.bits)
    if fmt.scales:
        c = _padded(bf16_bits(matrix.c), blocks * segments * rows).reshape(split)
        put(BeatKind.SCALE, c.transpose(0, 2, 1, 3))
    if matrix.s is not None:
        planes = [matrix.s] if matrix.m is None else [matrix.s, matrix.m]
        both = [_padded(plane.view(np.uint8), blocks * segments * rows) for plane in planes]
        both = np.stack([plane.reshape(*split, groups) for plane in both], axis=1)
        # [row block, s and m, segment, channel, chain, group]; one of the two axes in front is 1.
        put(BeatKind.META, both.transpose(0, 5, 3, 1, 2, 4).reshape(blocks * groups, channels, -1))
    return beats.reshape(len(beats), 8 * rows)


def unpack(
    beats: Bytes,
    fmt: str,
    shape: tuple[int, int],
    channels: int,
    rows: int,
    pattern: str = DENSE.name,
) -> QuantizedMatrix:
    """The matrix in packed beats; the inverse of `pack`.

    Args:
        beats: uint8 ``[beats, 8 * rows]``.
        fmt: a name of `FORMATS`.
        shape: ``(N, K)`` before padding.
        channels: as given to `pack`.
        rows: as given to `pack`.
        pattern: a name of `PATTERNS`.

    Raises:
        ValueError: The beats are not as many, or as wide, as such a matrix takes.
    """
    share = channel_rows(channels, rows)
    item = WEIGHT_FORMATS[fmt, pattern]
    segments = item.pattern.segments
    blocks, groups = -(-shape[0] // (segments * rows)), -(-shape[1] // GROUP)
    expected = (item.beats(blocks, groups), 8 * rows)
    if beats.shape != expected or beats.dtype != np.uint8:
        raise ValueError(f"beats must be uint8 {expected}, not {beats.dtype} {beats.shape}")
    beats = beats.reshape(-1, channels, 8 * share)

    def take(kind: BeatKind) -> Bytes:
        """What `put` got, ``[runs, channels, bytes]``."""
        runs = blocks if kind is BeatKind.SCALE else blocks * groups
        count = item.count(kind, blocks, groups)
        places = item.place(kind, np.arange(count), groups)  # pyright: ignore[reportArgumentType]
        size = item.quarters(kind) * 8 * share // QUARTERS
        data = beats[places].swapaxes(0, 1).reshape(channels, -1)[:, : runs * size]
        return data.reshape(channels, runs, size).swapaxes(0, 1)

    def take_values(kind: BeatKind, bits: int) -> Bytes:
        """Values of each row, ``[N, groups * 2, values of a row in a block]``."""
        chains = from_bits(np.ascontiguousarray(take(kind)), bits)
        chains = chains.reshape(blocks, groups, channels, 2, share, segments, -1)
        chains = chains.transpose(0, 5, 2, 4, 1, 3, 6)
        return chains.reshape(blocks * segments * rows, groups * 2, -1)[: shape[0]]

    q = signed(take_values(BeatKind.VALUE, item.bits), item)
    if item.pattern is not DENSE:
        index = take_values(BeatKind.INDEX, item.pattern.index_bits)
        q = spread(q, index, item.pattern)
    q = q.reshape(shape[0], groups * GROUP)
    c = np.ones(shape[0], np.float32)
    if item.scales:
        bits = (
            _as_bytes(take(BeatKind.SCALE)).view("<u2").reshape(blocks, channels, segments, share)
        )
        c = from_bf16_bits(bits.swapaxes(1, 2).reshape(-1)[: shape[0]])
    s = m = None
    if item.metas:
        planes = take(BeatKind.META).reshape(blocks, groups, channels, -1, segments, share)
        planes = planes.transpose(3, 0, 4, 2, 5, 1).reshape(-1, blocks * segments * rows, groups)
        s = planes[0, : shape[0]].copy()
        if item.pattern is DENSE:
            m = planes[1, : shape[0]].copy().view(np.int8)
        else:
            s = s.view(np.int8)
    return QuantizedMatrix(fmt, shape, q, c, s, m, pattern)


def kept_inputs(q: NDArray[np.int8], pattern: SparsityPattern) -> NDArray[np.intp]:
    """Which inputs of each block of 16 are stored, ``[N, blocks, kept of a block]``, rising.

    Every one that is not 0, and where these are fewer than the pattern keeps, the first others.
    """
    runs = q.reshape(len(q), -1, BLOCK // pattern.of, pattern.of)
    kept = np.sort(np.argsort(runs == 0, axis=-1, kind="stable")[..., : pattern.kept], axis=-1)
    kept += np.arange(BLOCK // pattern.of)[:, None] * pattern.of
    return kept.reshape(len(q), runs.shape[1], -1)


def spread(values: NDArray, index: Bytes, pattern: SparsityPattern) -> NDArray:
    """Values at their inputs, ``[N, blocks, 16]``, zeros between them."""
    first = np.arange(values.shape[-1]) // pattern.kept * pattern.of
    out = np.zeros((*values.shape[:-1], BLOCK), values.dtype)
    np.put_along_axis(out, (index + first).astype(np.intp), values, axis=-1)
    return out


def signed(values: Bytes, fmt: WeightFormat) -> NDArray:
    """Stored values in the type that the matrix keeps them in."""
    if fmt.excess:
        return values
    shift = np.int8(8 - fmt.bits)
    return (values.view(np.int8) << shift) >> shift


def _padded(array: NDArray, length: int, axis: int = 0) -> NDArray:
    if array.shape[axis] == length:
        return array
    missing = list(array.shape)
    missing[axis] = length - array.shape[axis]
    return np.concatenate((array, np.zeros(missing, array.dtype)), axis)


def _as_bytes(array: NDArray) -> Bytes:
    return np.ascontiguousarray(array).reshape(-1).view(np.uint8)
