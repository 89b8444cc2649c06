"""What a design's DRAM gives: to a plain reader, and of its peak."""

import ctypes
from fractions import Fraction
from functools import cache
from pathlib import Path

from alula.design import Design
from alula.design.dram import FIELDS
from alula.design.timings import Timings
from alula.rtl.layouts import Structures, layouts_text
from alula.rtl.native import native_library

_FOLDER = Path(__file__).parent
HEADERS = ("memory_timing.h", "dram.h")
"""The model's C++."""
_SLICES = 8


class DramConfig(ctypes.Structure):
    """The `DramConfig` of dram.h."""

    _fields_ = [
        *((name, ctypes.c_uint32) for name in ("clocks", "cycles", "access_bytes", "burst")),
        *((name, ctypes.c_uint32) for name in ("ranks", "bank_groups", "banks", "slices")),
        ("field", ctypes.c_uint32 * _SLICES),
        ("bits", ctypes.c_uint32 * _SLICES),
        *((name, ctypes.c_uint32) for name in ("hashed", "latency")),
        *((name, ctypes.c_uint32) for name in Timings.model_fields),
    ]


STRUCTURES: Structures = {"DramConfig": DramConfig}


def dram_config(design: Design) -> DramConfig:
    """Return the DRAM of one of a design's channels, for the model."""
    channel = design.memory.channel
    ratio = Fraction(channel.clock_hz, design.clock_hz)
    config = DramConfig(
        clocks=ratio.numerator,
        cycles=ratio.denominator,
        access_bytes=channel.access_bytes,
        burst=channel.burst_clocks,
        ranks=channel.ranks,
        bank_groups=channel.part.bank_groups,
        banks=channel.part.banks,
        slices=len(channel.mapping),
        hashed=channel.hashed,
        latency=channel.latency_cycles,
        **channel.timings,
    )
    for place, (field, bits) in enumerate(channel.mapping):
        config.field[place] = FIELDS.index(field)
        config.bits[place] = bits
    return config


def sequential_bytes(design: Design, cycles: int) -> int:
    """Return the bytes that a plain sequential reader gets from memory in so many core cycles.

    Each channel is read from its start on, with as many reads under way as the controller takes,
    through a port of memory.beat_bytes a cycle: what no accelerator behind these ports can surpass.

    Raises:
        ToolchainError: there is no C++ compiler.
    """
    config = dram_config(design)
    read = _library().alula_read
    return read(ctypes.byref(config), design.channels, design.memory.beat_bytes, cycles)


def dram_efficiency(design: Design, bytes_read: int, cycles: int) -> float:
    """Return the share of the DRAM's peak that so many bytes in so many core cycles are."""
    peak = design.channels * design.memory.channel.bytes_per_second
    return bytes_read * design.clock_hz / (cycles * peak)


def stream_efficiency(design: Design, bytes_needed: int, cycles: int) -> float:
    """Return `bytes_needed` over `sequential_bytes`: 1 is the speed of a plain reader."""
    return bytes_needed / sequential_bytes(design, cycles)


@cache
def _library() -> ctypes.CDLL:
    texts = {
        name: (_FOLDER / name).read_text(encoding="utf-8") for name in (*HEADERS, "reader.cpp")
    }
    texts["dram_layouts.h"] = layouts_text(STRUCTURES)
    library = ctypes.CDLL(native_library(texts))
    arguments = [ctypes.POINTER(DramConfig), ctypes.c_uint32, ctypes.c_uint32, ctypes.c_uint64]
    library.alula_read.argtypes = arguments
    library.alula_read.restype = ctypes.c_uint64
    return library
