"""From the beats of a weight stream to arrays, and new K and V rows into such beats.

`memory`: bytes, uint8 and flat; bytes of a beat; bytes of one channel's part of it, which carries
an eighth as many rows of each row block.
"""

import numpy as np

from alula.model.kernels.arithmetic import clean
from alula.model.kernels.compiled import kernel

TILE = 64
"""Rows that a W4 product computes together."""


@kernel()
def _scale(content, at):
    bits = np.uint32(content[at]) | (np.uint32(content[at + 1]) << np.uint32(8))
    return clean(bits << np.uint32(16))


@kernel()
def unpack_w4(memory, start, blocks, groups, q, s, m, c):
    """W4 into `q` uint8 [tile, group, 16, TILE], `s`, `m` [tile, group, TILE] and bits of `c`.

    A byte of `q` holds input k of its group in the low half, input k + 16 in the high half.
    """
    content, width, lane = memory
    rows, channels = lane // 8, width // lane
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
                            content, scales + channel * lane + 2 * (block % 4 * rows + row)
                        )
                    meta = metas + channel * lane + count % 4 * 2 * rows + row
                    s[tile, group, j] = content[meta]
                    m[tile, group, j] = np.int8(content[meta + rows])
                    low = beat + channel * lane + 8 * row
                    high = low + width
                    for k in range(8):
                        a, b = content[low + k], content[high + k]
                        q[tile, group, 2 * k, j] = (a & 15) | ((b & 15) << 4)
                        q[tile, group, 2 * k + 1, j] = (a >> 4) | (b & 0xF0)
            beat += 2 * width
            count += 1


@kernel()
def unpack_8(memory, start, blocks, groups, pitch, scaled, q, c):
    """W8 (`scaled`) or V8 into `q` int8 [row, 32 * group] and bits of `c`.

    `pitch`: bytes from one row block to the next, 0 if packed.
    """
    content, width, lane = memory
    rows, channels = lane // 8, width // lane
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
                    c[n] = _scale(content, scales + channel * lane + 2 * (block % 4 * rows + row))
                for half in range(2 * groups):
                    at = beat + 2 * half * width + channel * lane
                    if lane >= 16:
                        offset = 16 * row
                        run = at + offset // lane * width + offset % lane
                        for k in range(16):
                            q[n, 16 * half + k] = np.int8(content[run + k])
                    else:
                        for k in range(16):
                            offset = 16 * row + k
                            q[n, 16 * half + k] = np.int8(
                                content[at + offset // lane * width + offset % lane]
                            )
        beat += 4 * groups * width


@kernel()
def store_rows(content, marks, width, places, src, q, c):
    """Rows of staging `q`, `c` from `src` on to their `places`. Nonzero if a mark says cached."""
    values = places.shape[1] - 2
    hit = 0
    for row in range(places.shape[0]):
        source = src + row
        for k in range(values + 2):
            at = places[row, k]
            if k < values:
                content[at] = np.uint8(q[source, k])
            else:
                content[at] = np.uint8((c[source] >> (8 * (k - values))) & 0xFF)
            beat = at // width
            hit |= marks[beat] & 1
            marks[beat] |= 2
    return hit
