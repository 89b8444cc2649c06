"""A channel of DRAM, as the model has it."""

import ctypes
from fractions import Fraction

from alula.design import Design
from alula.design.dram import FIELDS
from alula.design.timings import Timings
from alula.rtl.layouts import Structures

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
