"""How fast channels of DRAM, read in step from some address on, hand out beats."""

import numpy as np

from alula.model.kernels.compiled import kernel

DEPTH = 32
"""Reads that a controller holds; an activation is issued no earlier than its read is there."""
RETURN = 128
"""Reads of a channel that are under way or wait to be taken."""
ROW, RANK, BANK, BANK_GROUP, COLUMN = range(5)
"""Fields of an address, in the order of `alula.design.dram.FIELDS`."""
(CL, RCD, RP, RAS, RC, RRD_S, RRD_L, CCD_S, CCD_L, FAW, RTP, RFC, REFI, BACK) = range(14)
"""Places of the timings, in DRAM clocks.

`BACK` is from the port to the DRAM and back: `times` are without it, but a read holds its place.
"""
TURN = 2
"""DRAM clocks that the bus stands still when it changes its driver."""
_NEVER = -1


@kernel()
def read_times(
    times: np.ndarray,
    timings: np.ndarray,
    fields: np.ndarray,
    bits: np.ndarray,
    sizes: np.ndarray,
    hashed: bool,
    burst: int,
    cycles_per_clock: float,
    accesses_per_beat: int,
    beats_per_access: int,
    port: float,
) -> None:
    """Fill `times` with the core cycle in which each beat of a sequential read is complete.

    Args:
        times: float64 [beats].
        timings: int64 [14], as the constants above say.
        fields: int64 [slices]: what an access's number chooses, from its lowest bit; then the row.
        bits: int64 [slices]: of each.
        sizes: int64 [4]: channels that are read in step, their refreshes spread over the interval;
            ranks, bank groups, banks of a group.
        hashed: bank and bank group are XORed with the lowest bits of the row.
        burst: DRAM clocks that a burst takes on the bus.
        cycles_per_clock: core cycles of a DRAM clock.
        accesses_per_beat: 1 where an access has several beats.
        beats_per_access: 1 where a beat takes several.
        port: core cycles that a beat takes at the port.
    """
    channels, ranks, groups, banks = sizes[0], sizes[1], sizes[2], sizes[3]
    every = ranks * groups * banks
    row_of = np.full((channels, every), _NEVER, np.int64)
    activate = np.zeros((channels, every), np.int64)
    precharge, column = np.zeros_like(activate), np.zeros_like(activate)
    group_read = np.zeros((channels, ranks * groups), np.int64)
    group_activate = np.zeros((channels, ranks * groups), np.int64)
    rank_read = np.zeros((channels, ranks), np.int64)
    rank_activate = np.zeros_like(rank_read)
    window = np.zeros((channels, ranks, 4), np.int64)
    oldest = np.zeros((channels, ranks), np.int64)
    refresh = np.empty((channels, ranks), np.int64)
    for channel in range(channels):
        for rank in range(ranks):
            turn = channel * ranks + rank + 1
            refresh[channel, rank] = timings[REFI] * turn // (channels * ranks)
    issued = np.zeros((channels, DEPTH), np.int64)
    taken = np.zeros(RETURN, np.int64)
    passed = 0.0
    for access in range(times.size * accesses_per_beat // beats_per_access):
        rest, rank, bank, group = access, 0, 0, 0
        used = np.zeros(5, np.int64)
        for place in range(fields.size):
            value = rest & ((1 << bits[place]) - 1)
            rest >>= bits[place]
            shift = used[fields[place]]
            used[fields[place]] += bits[place]
            if fields[place] == RANK:
                rank |= value << shift
            elif fields[place] == BANK:
                bank |= value << shift
            elif fields[place] == BANK_GROUP:
                group |= value << shift
        row = rest
        if hashed:
            group ^= row % groups
            bank ^= row // groups % banks
        whole = rank * groups + group
        place = whole * banks + bank
        latest, opens = 0, 0
        for channel in range(channels):
            enter = max(issued[channel, access % DEPTH], taken[access % RETURN])
            while True:
                ready = enter
                if row_of[channel, place] != row:
                    if row_of[channel, place] != _NEVER:
                        closes = max(ready, precharge[channel, place])
                        ready = closes + timings[RP]
                    opens = max(
                        ready,
                        activate[channel, place],
                        group_activate[channel, whole],
                        rank_activate[channel, rank],
                        window[channel, rank, oldest[channel, rank]],
                    )
                    ready = opens + timings[RCD]
                at = max(ready, group_read[channel, whole], rank_read[channel, rank])
                if row_of[channel, place] == row:
                    at = max(at, column[channel, place])
                if at < refresh[channel, rank]:
                    break
                due = refresh[channel, rank]
                first = rank * groups * banks
                for other in range(first, first + groups * banks):
                    if row_of[channel, other] != _NEVER:
                        due = max(due, precharge[channel, other])
                        row_of[channel, other] = _NEVER
                due += timings[RP] + timings[RFC]
                for other in range(first, first + groups * banks):
                    activate[channel, other] = max(activate[channel, other], due)
                refresh[channel, rank] += timings[REFI]
            if row_of[channel, place] != row:
                row_of[channel, place] = row
                column[channel, place] = opens + timings[RCD]
                precharge[channel, place] = opens + timings[RAS]
                activate[channel, place] = opens + timings[RC]
                group_activate[channel, whole] = opens + timings[RRD_L]
                rank_activate[channel, rank] = opens + timings[RRD_S]
                window[channel, rank, oldest[channel, rank]] = opens + timings[FAW]
                oldest[channel, rank] = (oldest[channel, rank] + 1) % 4
            precharge[channel, place] = max(precharge[channel, place], at + timings[RTP])
            group_read[channel, whole] = at + timings[CCD_L]
            for other in range(ranks):
                gap = timings[CCD_S] if other == rank else burst + TURN
                rank_read[channel, other] = max(rank_read[channel, other], at + gap)
            issued[channel, access % DEPTH] = at + 1
            latest = max(latest, at + timings[CL] + burst)
        arrived = latest * cycles_per_clock
        if (access + 1) % accesses_per_beat == 0:
            for beat in range(beats_per_access):
                passed = max(passed + port, arrived)
                times[access // accesses_per_beat * beats_per_access + beat] = passed
        taken[access % RETURN] = int(max(passed, arrived) / cycles_per_clock) + timings[BACK]
