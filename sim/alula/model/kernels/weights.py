"""From the beats of a weight stream to arrays, and new K and V rows into such beats.

`memory` is uint8 and flat; `width` bytes of a beat, `lane` bytes of one channel's part of it, which
carries `lane // 8` rows of each row block.
"""

from __future__ import annotations

import numpy as np

from alula.model.kernels.arithmetic import clean
from alula.model.kernels.compiled import kernel

TILE = 64
"""Rows that a W4 product computes together."""


@kernel()
def _scale(memory, at):
    bits = np.uint32(memory[at]) | (np.uint32(memory[at + 1]) << np.uint32(8))
    return clean(bits << np.uint32(16))


@kernel()
def unpack_w4(memory, start, width, lane, blocks, groups, q, s, m, c):
    """W4 into `q` uint8 [tile, group, 16, TILE], `s`, `m` [tile, group, TILE] and bits of `c`.

    A byte of `q` holds input k of its group in the low half, input k + 16 in the high half.
    """
    rows = lane // 8
    channels = width // lane
    beat = start
    scales = metas = start
    count = 0
    for block in range(blocks):
        if block % 4 == 0:
            scales = beat
            beat += width
        for group in range(groups):
            if count % 4 == 0:
                metas = beat
                beat += width
            for channel in range(channels):
                for row in range(rows):
                    n = (block * channels + channel) * rows + row
                    tile, j = n // TILE, n % TILE
                    if group == 0:
                        c[n] = _scale(
                            memory, scales + channel * lane + 2 * (block % 4 * rows + row)
                        )
                    meta = metas + channel * lane + count % 4 * 2 * rows + row
                    s[tile, group, j] = memory[meta]
                    m[tile, group, j] = np.int8(memory[meta + rows])
                    low = beat + channel * lane + 8 * row
                    high = low + width
                    for k in range(8):
                        a, b = memory[low + k], memory[high + k]
                        q[tile, group, 2 * k, j] = (a & 15) | ((b & 15) << 4)
                        q[tile, group, 2 * k + 1, j] = (a >> 4) | (b & 0xF0)
            beat += 2 * width
            count += 1


@kernel()
def unpack_8(memory, start, width, lane, blocks, groups, pitch, scaled, q, c):
    """W8 (`scaled`) or V8 into `q` int8 [row, 32 * group] and bits of `c`.

    `pitch`: bytes from one row block to the next, 0 if packed.
    """
    rows = lane // 8
    channels = width // lane
    beat = start
    scales = start
    for block in range(blocks):
        if pitch:
            beat = start + block * pitch
        if scaled and block % 4 == 0:
            scales = beat
            beat += width
        for channel in range(channels):
            for row in range(rows):
                n = (block * channels + channel) * rows + row
                if scaled:
                    c[n] = _scale(memory, scales + channel * lane + 2 * (block % 4 * rows + row))
                for half in range(2 * groups):
                    at = beat + 2 * half * width + channel * lane
                    if lane >= 16:
                        offset = 16 * row
                        run = at + offset // lane * width + offset % lane
                        for k in range(16):
                            q[n, 16 * half + k] = np.int8(memory[run + k])
                    else:
                        for k in range(16):
                            offset = 16 * row + k
                            q[n, 16 * half + k] = np.int8(
                                memory[at + offset // lane * width + offset % lane]
                            )
        beat += 4 * groups * width


@kernel()
def _put(memory, marks, width, at, value):
    memory[at] = value
    beat = at // width
    touched = marks[beat] & 1
    marks[beat] |= 2
    return touched


@kernel()
def store_k(memory, marks, width, lane, start, stride, position, tokens, heads, groups, src, q, c):
    """K rows from staging `q`, `c`, a W8 matrix for each head. Nonzero if a mark says cached."""
    rows = lane // 8
    block_rows = rows * (width // lane)
    hit = 0
    for token in range(tokens):
        row = position + token
        block = row // block_rows
        channel = row % block_rows // rows
        j = row % rows
        packed = block * 4 * groups
        for head in range(heads):
            base = start + head * stride
            source = src + token * heads + head
            scale = base + (block // 4 + (block - block % 4) * 4 * groups) * width
            scale += channel * lane + 2 * (block % 4 * rows + j)
            hit |= _put(memory, marks, width, scale, np.uint8(c[source] & 0xFF))
            hit |= _put(memory, marks, width, scale + 1, np.uint8(c[source] >> 8))
            values = base + (block // 4 + 1 + packed) * width + channel * lane
            for half in range(2 * groups):
                for k in range(16):
                    offset = 16 * j + k
                    at = values + (2 * half + offset // lane) * width + offset % lane
                    hit |= _put(memory, marks, width, at, np.uint8(q[source, 16 * half + k]))
    return hit


@kernel()
def store_t(
    memory,
    marks,
    width,
    lane,
    start,
    stride,
    position,
    tokens,
    heads,
    groups,
    pitch,
    scales,
    src,
    q,
    c,
):
    """V columns and their scales. Nonzero if a mark says cached."""
    rows = lane // 8
    block_rows = rows * (width // lane)
    hit = 0
    for token in range(tokens):
        column = position + token
        for head in range(heads):
            base = start + head * stride
            source = src + token * heads + head
            at = base + scales + 2 * column
            hit |= _put(memory, marks, width, at, np.uint8(c[source] & 0xFF))
            hit |= _put(memory, marks, width, at + 1, np.uint8(c[source] >> 8))
            for row in range(32 * groups):
                offset = 16 * (row % rows) + column % 16
                at = base + row // block_rows * pitch
                at += (2 * (column // 16) + offset // lane) * width
                at += row % block_rows // rows * lane + offset % lane
                hit |= _put(memory, marks, width, at, np.uint8(q[source, row]))
    return hit
