"""When each instruction of a trace begins and ends: engines, queues, tokens, weight stream, memory.

A moment is five numbers: its cycle, and how many of the cycles before it were spent on compute,
memory, issue and dependencies, along the chain of causes that made it so late. They add up. The
later of two moments is the cause of what needs both.
"""

import numpy as np

from alula.cost.kernels.trace import ISSUE as SPENT
from alula.cost.kernels.trace import WEIGHT
from alula.model.kernels.compiled import kernel

# A kernel is compiled once for numpy's integers, but for each of Python's.
COMPUTE, MEMORY, ISSUE, DEPENDENCY = np.arange(1, 5)
"""Accounts, as places of a moment."""
LD, ST, MM, MV, MISC, SYS, ENGINES = np.arange(7)
ENGINE, KIND, WAITS, SIGNALS = range(4)
"""Columns of steps: its engine, what it is, the engines that it waits for and signals, as masks."""
SERIAL, ROWS, MATRIX, PRODUCT, SYNC, SYSTEM, END = range(7)
"""What a step is: one after the other on its engine; loads rows; loads a matrix; multiplies; only
waits and signals; the same on the sequencer; the end."""
(CYCLES, BEATS, SHARE, PIECES, ASKS, TAIL, FIRST, WORKS) = range(8)
"""Columns of works: cycles of its engine; beats of memory, of ST writes to a channel; share of the
weight stream's places; pieces in which a matrix comes and goes; cycles of asking beyond the first,
of PRODUCT those behind the last weight on the chains; cycles from the last weight to the end; to
the first request."""
(READ, BEAT, FIFO, ASK_ROW, ASK_MATRIX, HELD_ROW, HELD_MATRIX) = range(7)
(DELIVER, GAP, BEGIN, FINISH, FREE, STARTED, ENDED, STORE, LATENCIES) = range(7, 16)
"""Latencies, in cycles; see `alula.cost.machine`."""
DEPTH = 16
"""Instructions that wait in front of an engine."""
_STREAMS, _FREED, _TOKENS = 64, 4096, 256
"""Matrices under way, places of the stream that are known to be free again, tokens of a pair."""

_NOW, _LAST, _BEGIN, _MOMENT, _DATA, _ASKS, _ASKED, _MULTIPLIED = np.arange(8)
"""Moments: of the sequencer, now and where the weight changed; when what is looked at begins and
ends; when LD can have the next beat and ask for its next instruction; when the matrix that comes
was asked for; when the matrix engine has passed its last weight."""
_READY = 8
_OVER = _READY + ENGINES
_TAKEN = _OVER + ENGINES
_GIVEN = _TAKEN + ENGINES * DEPTH
_FREE_AT = _GIVEN + ENGINES * ENGINES * _TOKENS
_COME = _FREE_AT + _FREED
"""Where moments of many begin: when engines can begin their next; when they were done with the
last; when they took their last instructions; of tokens; of free places; when weights have come."""

LOADED, USED, COMING, GOING, KNOWN, FREED, NEEDED = range(7)
"""Counts of the weight stream: matrices that have come and are used, pieces of the next of each
(-1: it has not begun), arrivals of the one that comes, free places noted and passed."""
ASKED, GONE = range(2)
"""Shares of the stream that were asked for and that are free again, since the start."""


@kernel()
def _copy(moments: np.ndarray, to: int, other: int) -> None:
    for place in range(5):
        moments[to, place] = moments[other, place]


@kernel()
def _later(moments: np.ndarray, moment: int, other: int) -> None:
    """Make `moment` the later of the two."""
    if moments[other, 0] > moments[moment, 0]:
        _copy(moments, moment, other)


@kernel()
def _add(moments: np.ndarray, moment: int, cycles: float, account: int) -> None:
    moments[moment, 0] += cycles
    moments[moment, account] += cycles


@kernel()
def _after(moments: np.ndarray, to: int, other: int, cycles: float, account: int) -> None:
    _copy(moments, to, other)
    _add(moments, to, cycles, account)


@kernel()
def _count(moments: np.ndarray, total: np.ndarray, weight: float) -> None:
    """Add what has passed since it was last counted, so many times."""
    for place in range(5):
        total[place] += weight * (moments[_NOW, place] - moments[_LAST, place])
        moments[_LAST, place] = moments[_NOW, place]


@kernel()
def _missing(mask: int, taker: int, given: np.ndarray, gone: np.ndarray) -> bool:
    """Whether a token that `taker` waits for is not there yet."""
    for giver in range(ENGINES):
        pair = giver * ENGINES + taker
        if mask >> giver & 1 and given[pair] == gone[pair]:
            return True
    return False


@kernel()
def _await(moments: np.ndarray, moment: int, mask: int, taker: int, gone: np.ndarray) -> None:
    """Make `moment` no earlier than the tokens that are waited for."""
    for giver in range(ENGINES):
        if mask >> giver & 1:
            pair = giver * ENGINES + taker
            _later(moments, moment, _GIVEN + pair * _TOKENS + gone[pair] % _TOKENS)


@kernel()
def _take(mask: int, taker: int, gone: np.ndarray) -> None:
    for giver in range(ENGINES):
        if mask >> giver & 1:
            gone[giver * ENGINES + taker] += 1


@kernel()
def _give(moments: np.ndarray, moment: int, mask: int, giver: int, given: np.ndarray) -> None:
    for taker in range(ENGINES):
        if mask >> taker & 1:
            pair = giver * ENGINES + taker
            _copy(moments, _GIVEN + pair * _TOKENS + given[pair] % _TOKENS, moment)
            given[pair] += 1


@kernel()
def _serial(
    moments: np.ndarray, engine: int, kind: int, work: np.ndarray, latencies: np.ndarray
) -> None:
    """One after the other; instructions that follow each other overlap by a cycle.

    Writes keep memory from the reads that are under way.
    """
    _later(moments, _BEGIN, _READY + engine)
    if engine in (MM, MV):
        _later(moments, _BEGIN, _OVER + engine)
    account = DEPENDENCY
    if kind == SERIAL:
        account = MEMORY if engine == ST else COMPUTE
    if engine == ST and moments[_DATA, 0] > moments[_BEGIN, 0]:
        _add(moments, _DATA, work[BEATS] * latencies[STORE], MEMORY)
    _after(moments, _MOMENT, _BEGIN, work[CYCLES], account)
    _copy(moments, _OVER + engine, _MOMENT)
    _after(moments, _READY + engine, _MOMENT, -1.0, account)


@kernel()
def _rows(moments: np.ndarray, kind: int, work: np.ndarray, latencies: np.ndarray) -> None:
    """LD asks for a row as soon as it has asked for what is before; its beats come in turn."""
    _later(moments, _BEGIN, _ASKS)
    _after(moments, _ASKS, _BEGIN, latencies[HELD_ROW], DEPENDENCY)
    _after(moments, _MOMENT, _BEGIN, latencies[ASK_ROW], DEPENDENCY)
    if kind == ROWS:
        _add(moments, _MOMENT, latencies[READ] + work[ASKS], MEMORY)
    _later(moments, _MOMENT, _DATA)
    _add(moments, _MOMENT, work[CYCLES], MEMORY)
    _after(moments, _DATA, _MOMENT, latencies[GAP] if kind == ROWS else 0.0, DEPENDENCY)
    _add(moments, _MOMENT, latencies[DELIVER], DEPENDENCY)
    _copy(moments, _OVER + LD, _MOMENT)


@kernel()
def _free_place(
    moments: np.ndarray, needs: float, freed: np.ndarray, stream: np.ndarray, latency: float
) -> None:
    """Make `_MOMENT` when a place of the stream may be asked for, no earlier than `_ASKED`."""
    stream[NEEDED] = max(stream[NEEDED], stream[FREED] - _FREED + 2)
    while freed[stream[NEEDED] % _FREED] < needs:
        stream[NEEDED] += 1
    at, before = stream[NEEDED] % _FREED, (stream[NEEDED] - 1) % _FREED
    _copy(moments, _MOMENT, _FREE_AT + at)
    if stream[NEEDED] > 0 and freed[at] > freed[before]:
        part = (needs - freed[before]) / (freed[at] - freed[before])
        for place in range(5):
            low = moments[_FREE_AT + before, place]
            moments[_MOMENT, place] = low + part * (moments[_FREE_AT + at, place] - low)
    _add(moments, _MOMENT, latency, DEPENDENCY)
    _later(moments, _MOMENT, _ASKED)


@kernel()
def _load(
    moments: np.ndarray,
    work: np.ndarray,
    latencies: np.ndarray,
    width: int,
    stream: np.ndarray,
    shares: np.ndarray,
    slots: np.ndarray,
    freed: np.ndarray,
) -> bool:
    """A matrix comes as far as there are places for it. Return whether all of it has."""
    many = int(work[PIECES])
    slot = stream[LOADED] % _STREAMS
    come = _COME + slot * width
    if stream[COMING] < 0:
        if stream[LOADED] - stream[USED] >= _STREAMS - 1:
            return False
        _later(moments, _BEGIN, _ASKS)
        _after(moments, _ASKS, _BEGIN, latencies[HELD_MATRIX], DEPENDENCY)
        _after(moments, _ASKED, _BEGIN, latencies[ASK_MATRIX] + work[FIRST], DEPENDENCY)
        _after(moments, _MOMENT, _ASKED, latencies[READ], MEMORY)
        _later(moments, _DATA, _MOMENT)
        _copy(moments, come, _DATA)
        slots[slot, 0], slots[slot, 1], slots[slot, 2] = many, shares[ASKED], work[SHARE]
        stream[COMING], stream[KNOWN] = 0, 1
    while stream[COMING] < many:
        part = (stream[COMING] + 1) / many
        # The last of this piece needs a place.
        needs = shares[ASKED] + work[SHARE] * part - 1.0
        if needs > shares[GONE]:
            return False
        _copy(moments, _MOMENT, _ASKED)
        if needs > 0.0:
            _free_place(moments, needs, freed, stream, latencies[FREE])
        _add(moments, _MOMENT, work[ASKS] * part, DEPENDENCY)
        if stream[COMING] + 1 == many:
            # The asking side is held so much longer than a short one holds it.
            ahead = latencies[HELD_MATRIX] - latencies[ASK_MATRIX]
            _add(moments, _MOMENT, ahead, DEPENDENCY)
            _later(moments, _ASKS, _MOMENT)
            _add(moments, _MOMENT, -ahead, DEPENDENCY)
        _add(moments, _MOMENT, latencies[READ], MEMORY)
        _add(moments, _DATA, work[BEATS] / many * latencies[BEAT], MEMORY)
        _later(moments, _DATA, _MOMENT)
        stream[COMING] += 1
        _copy(moments, come + stream[COMING], _DATA)
        stream[KNOWN] = stream[COMING] + 1
    shares[ASKED] += work[SHARE]
    stream[LOADED] += 1
    stream[COMING], stream[KNOWN] = -1, 0
    _after(moments, _MOMENT, _DATA, latencies[DELIVER], DEPENDENCY)
    _copy(moments, _OVER + LD, _MOMENT)
    return True


@kernel()
def _multiply(
    moments: np.ndarray,
    engine: int,
    work: np.ndarray,
    latencies: np.ndarray,
    width: int,
    stream: np.ndarray,
    shares: np.ndarray,
    slots: np.ndarray,
    freed: np.ndarray,
) -> bool:
    """A product goes as far as its weights are there. Return whether all of it has."""
    slot = stream[USED] % _STREAMS
    come = _COME + slot * width
    last = stream[USED] == stream[LOADED]
    if last and stream[KNOWN] == 0:
        return False
    many = int(slots[slot, 0])
    if stream[GOING] < 0:
        _later(moments, _BEGIN, _READY + engine)
        _after(moments, _MOMENT, _BEGIN, latencies[BEGIN], DEPENDENCY)
        _later(moments, _MULTIPLIED, _MOMENT)
        stream[GOING] = 0
    while stream[GOING] < many:
        piece = stream[GOING]
        if last and stream[KNOWN] < piece + 2:
            return False
        _after(moments, _MOMENT, come + piece, latencies[STARTED], DEPENDENCY)
        _later(moments, _MULTIPLIED, _MOMENT)
        _add(moments, _MULTIPLIED, work[CYCLES] / many, COMPUTE)
        behind = latencies[STARTED] + work[ASKS]
        _after(moments, _MOMENT, come + piece + 1, behind, DEPENDENCY)
        _later(moments, _MULTIPLIED, _MOMENT)
        stream[GOING] += 1
        shares[GONE] = slots[slot, 1] + slots[slot, 2] * stream[GOING] / many
        freed[stream[FREED] % _FREED] = shares[GONE]
        _copy(moments, _FREE_AT + stream[FREED] % _FREED, _MULTIPLIED)
        stream[FREED] += 1
    stream[GOING] = -1
    stream[USED] += 1
    _after(moments, _MOMENT, _MULTIPLIED, work[TAIL] + latencies[FINISH], DEPENDENCY)
    _later(moments, _OVER + engine, _MOMENT)
    _copy(moments, _MOMENT, _OVER + engine)
    return True


@kernel()
def timeline(
    steps: np.ndarray,
    works: np.ndarray,
    timing: np.ndarray,
    latencies: np.ndarray,
    total: np.ndarray,
    busy: np.ndarray,
    spans: np.ndarray,
) -> int:
    """Run a trace. Returns -1, or the step at which nothing could go on.

    Args:
        steps: int64 [steps, 4]: the columns above.
        works: float64 [steps, 7]: what each takes.
        timing: float64 [steps, 3]: columns of `alula.cost.kernels.trace`.
        latencies: float64 [15].
        total: float64 [5], filled: cycles of the run, by account.
        busy: float64 [6], filled: cycles in which each engine works.
        spans: float64 [steps, 2], filled: cycles at which each begins and ends; [0, 2]: not asked.
    """
    count = len(steps)
    width = int(works[:, PIECES].max()) + 1
    arrives = _COME + _STREAMS * width
    moments = np.zeros((arrives + count, 5))
    queue = np.zeros((ENGINES, count), np.int64)
    queued, taken = np.zeros(ENGINES, np.int64), np.zeros(ENGINES, np.int64)
    given, gone = np.zeros(ENGINES * ENGINES, np.int64), np.zeros(ENGINES * ENGINES, np.int64)
    stream, shares = np.zeros(7, np.int64), np.zeros(2)
    stream[COMING], stream[GOING] = -1, -1
    slots, freed = np.zeros((_STREAMS, 3)), np.zeros(_FREED)
    weight = timing[0, WEIGHT]
    for step in range(count):
        engine, waits = steps[step, ENGINE], steps[step, WAITS]
        if timing[step, WEIGHT] != weight:
            _count(moments, total, weight)
            weight = timing[step, WEIGHT]
        if spans.size and engine == SYS:
            spans[step, 0] = moments[_NOW, 0]
        _add(moments, _NOW, timing[step, SPENT], ISSUE)
        busy[SYS] += weight * timing[step, SPENT]
        full = queued[engine] - DEPTH
        while True:
            # Engines go on as far as they can once the sequencer cannot.
            if engine != SYS:
                if full < 0 or taken[engine] > full:
                    break
            elif steps[step, KIND] == END:
                if (queued[:SYS] == taken[:SYS]).all():
                    break
            elif not _missing(waits, SYS, given, gone):
                break
            before = (taken.sum() + stream[FREED]) * 2 * width + stream[KNOWN]
            for other in range(SYS):
                while taken[other] < queued[other]:
                    this = queue[other, taken[other]]
                    kind, mask, work = steps[this, KIND], steps[this, WAITS], works[this]
                    if _missing(mask, other, given, gone):
                        break
                    _copy(moments, _BEGIN, arrives + this)
                    _await(moments, _BEGIN, mask, other, gone)
                    if kind == MATRIX:
                        if not _load(moments, work, latencies, width, stream, shares, slots, freed):
                            break
                    elif kind == PRODUCT:
                        if not _multiply(
                            moments, other, work, latencies, width, stream, shares, slots, freed
                        ):
                            break
                    elif other == LD:
                        _rows(moments, kind, work, latencies)
                    else:
                        _serial(moments, other, kind, work, latencies)
                    cycles = work[BEATS] * latencies[BEAT] if kind == MATRIX else work[CYCLES]
                    busy[other] += timing[this, WEIGHT] * cycles
                    if spans.size:
                        spans[this, 0], spans[this, 1] = moments[_BEGIN, 0], moments[_MOMENT, 0]
                    _take(mask, other, gone)
                    _give(moments, _MOMENT, steps[this, SIGNALS], other, given)
                    place = _TAKEN + other * DEPTH + taken[other] % DEPTH
                    _after(moments, place, _BEGIN, 1.0, DEPENDENCY)
                    taken[other] += 1
            if (taken.sum() + stream[FREED]) * 2 * width + stream[KNOWN] == before:
                return step
        if engine == SYS:
            _await(moments, _NOW, waits, SYS, gone)
            _take(waits, SYS, gone)
            if steps[step, KIND] == END:
                for other in range(SYS):
                    _later(moments, _NOW, _OVER + other)
                _add(moments, _NOW, latencies[ENDED], ISSUE)
            _give(moments, _NOW, steps[step, SIGNALS], SYS, given)
            if spans.size:
                spans[step, 1] = moments[_NOW, 0]
        else:
            if full >= 0:
                _later(moments, _NOW, _TAKEN + engine * DEPTH + full % DEPTH)
            _after(moments, arrives + step, _NOW, latencies[FIFO], ISSUE)
            queue[engine, queued[engine]] = step
            queued[engine] += 1
    _count(moments, total, weight)
    return -1
