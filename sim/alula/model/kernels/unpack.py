"""Weights of any format, walked through as the contract lays them out.

`memory`: bytes, uint8 and flat; bytes of a beat; bytes of one channel's part of it.
"""

import numpy as np

from alula.model.kernels.arithmetic import clean
from alula.model.kernels.compiled import kernel


@kernel()
def _walk(first, blocks, groups, needs):
    """Beats of values, metas, scales and indices, [kind, number], from beat `first` on.

    `needs`: quarters of a beat that each group takes of each kind, of scales each row block. A beat
    comes before the first group that needs it: scales, then metas, values, indices.
    """
    most = (blocks * groups * needs.max() + 3) // 4
    beats = np.empty((4, most), np.int64)
    there = np.zeros(4, np.int64)
    for group in range(blocks * groups):
        for kind in (2, 1, 0, 3):
            due = (group // groups if kind == 2 else group) + 1
            while 4 * there[kind] < due * needs[kind]:
                beats[kind, there[kind]] = first
                there[kind] += 1
                first += 1
    return beats


@kernel()
def _byte(memory, beats, channel, at):
    """Byte `at` of what a channel has of a kind."""
    content, width, lane = memory
    return np.int64(content[beats[at // lane] * width + channel * lane + at % lane])


@kernel()
def _bits(memory, beats, channel, at, bits):
    """`bits` bits, `at` bits into what a channel has of a kind."""
    found = _byte(memory, beats, channel, at // 8)
    if at % 8 + bits > 8:
        found |= _byte(memory, beats, channel, at // 8 + 1) << 8
    return found >> at % 8 & (1 << bits) - 1


@kernel()
def unpack_any(memory, start, blocks, groups, fmt, needs, arrays):
    """Signed values `q` int8 [row, 32 * group], `s` int16 and `m` int8 [row, group], bits of `c`.

    Of every `of` inputs of `fmt` `kept` are stored, the others are 0. A format without metas leaves
    `s` and `m` alone, one without scales `c`. True if an input is stored twice.
    """
    bits, kept, of, index_bits = fmt
    q, s, m, c = arrays
    _, width, lane = memory
    beats = _walk(start // width, blocks, groups, needs)
    values, metas, scales, indices = beats[0], beats[1], beats[2], beats[3]
    rows, channels, segments = lane // 8, width // lane, of // kept
    stored = 16 // segments
    twice = False
    q[:] = 0
    for n in range(q.shape[0]):
        block, segment = n // (segments * channels * rows), n // (channels * rows) % segments
        channel, row = n // rows % channels, n % rows
        if needs[2]:
            at = block * needs[2] * lane // 4 + 2 * (segment * rows + row)
            high = _byte(memory, scales, channel, at + 1)
            low = _byte(memory, scales, channel, at)
            c[n] = clean(np.uint32(high << 24 | low << 16))
        for group in range(groups):
            run = block * groups + group
            if needs[1]:
                at = run * needs[1] * lane // 4 + segment * rows + row
                s[n, group] = _byte(memory, metas, channel, at)
                if segments > 1:
                    s[n, group] = np.int8(s[n, group])
                else:
                    m[n, group] = np.int8(_byte(memory, metas, channel, at + rows))
            for half in range(2):
                seen = 0
                for i in range(stored):
                    slot = ((2 * run + half) * rows + row) * 16 + segment * stored + i
                    value = _bits(memory, values, channel, slot * bits, bits)
                    k = i
                    if segments > 1:
                        at = slot * index_bits
                        k = _bits(memory, indices, channel, at, index_bits)
                        k += i // kept * of
                    if segments > 1 or not needs[1]:
                        value -= value >> bits - 1 << bits
                    else:
                        value -= 1 << bits - 1
                    twice |= seen >> k & 1 == 1
                    seen |= 1 << k
                    q[n, 32 * group + 16 * half + k] = value
    return twice
