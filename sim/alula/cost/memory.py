"""The memory term: how long a read waits, and how fast a stream of beats comes, from DRAM timings.

Nothing here is fitted: parts, order of address bits, refresh and timings are the design's own.
"""

from dataclasses import dataclass, replace
from fractions import Fraction
from functools import lru_cache

import numpy as np

from alula.cost.kernels import dram as kernel
from alula.design import Design
from alula.design.dram import FIELDS, DramChannel
from alula.design.memory_ports import stripe_bytes

_TIMINGS = (
    *("CL", "tRCD", "tRP", "tRAS", "tRC", "tRRD_S", "tRRD_L", "tCCD_S", "tCCD_L", "tFAW"),
    *("tRTP", "tRFC", "tREFI"),
)
_DRAINED = 16
"""Writes that a controller makes at a time while reads wait: from 24 held to 8 (`dram.h`)."""
_REFRESHES = 2
"""Intervals between refreshes over which a stream is averaged."""


@dataclass(frozen=True)
class MemoryTerm:
    """A memory as the cycle model sees it.

    Attributes:
        read: core cycles from a read's address to its first beat, its bank open at another row.
        write: core cycles from a burst's last beat to its answer.
        beat: core cycles a beat of a long sequential read, all channels in step; at least 1.
        store: core cycles that a write to a row of its own keeps a channel from its reads: its
            burst, and its share of the bus's turn to writes and back.
        spare: the share of a long sequential read in which the DRAM waits for the port.
    """

    read: float
    write: float
    beat: float
    store: float
    spare: float


def memory_term(design: Design) -> MemoryTerm:
    """Return the memory of a design, all channels of all cores together."""
    memory = design.memory
    term = _term(
        memory.dram,  # pyright: ignore[reportArgumentType]
        memory.kind,
        memory.beat_bytes,
        design.channels,
        design.clock_hz,
    )
    return term if memory.ports == 1 else _through_ports(term, design)


def _through_ports(term: MemoryTerm, design: Design) -> MemoryTerm:
    """A memory whose channels are behind several ports: a stripe comes through one of them.

    Nothing passes while the DRAM refreshes.
    """
    memory = design.memory
    timings = memory.channel.timings
    passing = 1 - Fraction(timings["tRFC"], timings["tREFI"])
    rate = float(memory.axi.bytes_per_cycle(design.clock_hz, passing))
    beat = max(term.beat, memory.beat_bytes / rate)
    return replace(
        term,
        read=term.read + stripe_bytes(memory.beat_bytes) / memory.port_bytes,
        beat=beat,
        spare=1 - (1 - term.spare) * term.beat / beat,
    )


@lru_cache(maxsize=4096)
def _term(dram, kind: str, beat_bytes: int, channels: int, clock_hz: int) -> MemoryTerm:
    channel: DramChannel = dram.channel(kind)
    cycles_per_clock = clock_hz / channel.clock_hz
    timings = channel.timings
    opens = timings["tRP"] + timings["tRCD"] + timings["CL"] + channel.burst_clocks
    shape = channel, beat_bytes, channels, cycles_per_clock
    beat = _beat(*shape)
    return MemoryTerm(
        read=opens * cycles_per_clock + channel.latency_cycles,
        write=float(channel.latency_cycles),
        beat=beat,
        store=(channel.burst_clocks + _turned_clocks(channel) / _DRAINED) * cycles_per_clock,
        spare=1 - _beat(*shape, port=0.0) / beat,
    )


def _turned_clocks(channel: DramChannel) -> int:
    """DRAM clocks from the last read before writes to the first behind them, less the writes'.

    The bus turns, the first write opens a row, the bus turns back.
    """
    timings = channel.timings
    turn = timings["CL"] + channel.burst_clocks + kernel.TURN - timings["CWL"]
    opens = timings["tRP"] + timings["tRCD"]
    back = timings["CWL"] + channel.burst_clocks + timings["tWTR_L"]
    return turn + opens + back


def _beat(
    channel: DramChannel, beat_bytes: int, channels: int, cycles_per_clock: float, port: float = 1.0
) -> float:
    """Core cycles a beat, between two refreshes far from the start; `port` of them at the port."""
    per_beat = max(1, beat_bytes // channel.access_bytes)
    per_access = max(1, channel.access_bytes // beat_bytes)
    timings = channel.timings
    period = timings["tREFI"] * cycles_per_clock
    back = round(channel.latency_cycles / cycles_per_clock)
    peak = max(port, beat_bytes / channel.access_bytes * channel.burst_clocks * cycles_per_clock)
    beats = int((_REFRESHES + 2) * period / peak)
    times = np.zeros(beats - beats % per_access)
    kernel.read_times(
        times,
        np.array([*(timings[name] for name in _TIMINGS), back]),
        np.array([FIELDS.index(field) for field, _ in channel.mapping]),
        np.array([bits for _, bits in channel.mapping]),
        np.array([channels, channel.ranks, channel.part.bank_groups, channel.part.banks]),
        channel.hashed,
        channel.burst_clocks,
        cycles_per_clock,
        per_beat,
        per_access,
        port,
    )
    last = times[-1]
    start, end = (
        np.searchsorted(times, last - count * period) for count in (_REFRESHES + 0.5, 0.5)
    )
    return float((times[end] - times[start]) / (end - start))
