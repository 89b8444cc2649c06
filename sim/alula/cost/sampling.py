"""Which chunks of a long prompt are timed, and how many each stands for."""

import numpy as np

from alula.cost.kernels import trace
from alula.cost.listing import FIELDS, Listing

_WHOLE = 12
"""Chunks up to which all are timed."""
_KNOTS = 5
"""Pairs of chunks that are timed of more."""


def sampled(steps: Listing, registers: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the iterations of a program's loop over chunks that are timed, and their shares."""
    if steps.chunk_loop < 0:
        return np.empty(0, np.int64), np.empty(0)
    return shares(_count(steps, registers))


def shares(count: int) -> tuple[np.ndarray, np.ndarray]:
    """Return which of `count` chunks are timed and how many each stands for; they add up to all.

    The first and the last are timed. Between them the cost grows with the position, by steps of a
    few chunks: neighbours are timed in pairs, and pairs between two timed ones count as their
    average, nearer ones more.
    """
    if count <= _WHOLE:
        return np.empty(0, np.int64), np.empty(0)
    pairs = (count - 2) // 2
    knots = np.unique(np.linspace(0, pairs - 1, _KNOTS).round().astype(np.int64))
    share = np.zeros(knots.size)
    for place in range(knots.size - 1):
        low, high = knots[place], knots[place + 1]
        part = (np.arange(low, high) - low) / (high - low)
        share[place] += (1 - part).sum()
        share[place + 1] += part.sum()
    share[-1] += 1
    timed = (1 + 2 * knots[:, None] + np.arange(2)).reshape(-1)
    rest = np.arange(1 + 2 * pairs, count)
    return (
        np.concatenate([[0], timed, rest]).astype(np.int64),
        np.concatenate([[1.0], np.repeat(share, 2), np.ones(rest.size)]),
    )


def _count(steps: Listing, registers: np.ndarray) -> int:
    """Iterations of the loop over chunks, from the arithmetic in front of it."""
    code, found = steps.code.copy(), registers.copy()
    code[steps.chunk_loop, trace.KIND] = trace.END
    none = np.empty(0, np.int64)
    size = steps.chunk_loop + 1
    places, fields = np.empty(size, np.int64), np.empty((size, FIELDS), np.int64)
    timing = np.empty((size, trace.TIMING))
    trace.trace(
        code, steps.sources, 0, trace.SAME, found, none, np.empty(0), places, fields, timing
    )
    register, offset = steps.sources[steps.chunk_loop, 0]
    return int(found[register] + offset) & trace.MASK
