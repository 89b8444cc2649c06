"""What a plain sequential reader gets from a design's memory."""

import ctypes
from collections.abc import Sequence
from enum import IntEnum
from functools import cache
from pathlib import Path

from alula.design import Design
from alula.design.memory_ports import MAX_PORTS, MemoryPorts, stripe_bytes
from alula.rtl.dram import dram_config
from alula.rtl.dram_ports import HEADERS, STRUCTURES, ports_config
from alula.rtl.layouts import layouts_text
from alula.rtl.native import native_library

_FOLDER = Path(__file__).parent


class ReadingOrder(IntEnum):
    """How a reader goes through memory with several ports.

    APART: each port on its own, through a part of the memory. IN_STEP: the same, and a beat is
    taken where every port has its part, as by an accelerator whose beats lie across parts. DEALT:
    through the memory once, the next stripe by the port that can ask for it first.
    """

    APART = 0
    IN_STEP = 1
    DEALT = 2


def sequential_bytes(design: Design, cycles: int) -> int:
    """Return the bytes that a plain sequential reader gets from memory in so many core cycles.

    Each channel is read from its start on, with as many reads under way as the controller takes,
    through a port of `memory.beat_bytes` a cycle, or through all of its ports as `DEALT`, in
    whatever order they answer.

    Raises:
        ToolchainError: there is no C++ compiler.
    """
    if design.memory.ports > 1:
        dealt = sequential_port_bytes(design, design.memory.axi, cycles, ReadingOrder.DEALT)
        return sum(dealt) * design.channels
    config = dram_config(design)
    read = _library().alula_read
    return read(ctypes.byref(config), design.channels, design.memory.beat_bytes, cycles)


def sequential_port_bytes(
    design: Design,
    ports: MemoryPorts,
    cycles: int,
    reading: ReadingOrder,
    bases: Sequence[int] = (),
) -> list[int]:
    """Return the bytes that a plain sequential reader gets through each AXI port of a channel.

    Args:
        design: Whose DRAM and clock.
        ports: The AXI ports.
        cycles: Of the core's clock.
        reading: How it goes through memory.
        bases: Where each port's part of the memory begins, if it has one.

    Raises:
        ValueError: See `ports_config`.
        ToolchainError: there is no C++ compiler.
    """
    beats = (ctypes.c_uint64 * MAX_PORTS)()
    _library().alula_read_ports(
        ctypes.byref(dram_config(design)),
        ctypes.byref(ports_config(design, ports, bases)),
        ctypes.c_uint32(ports.port_bytes),
        ctypes.c_uint32(reading),
        ctypes.c_uint32(stripe_bytes(design.memory.beat_bytes)),
        ctypes.c_uint64(cycles),
        beats,
    )
    return [ports.port_bytes * beats[port] for port in range(len(ports.controller))]


def dram_efficiency(design: Design, bytes_read: int, cycles: int) -> float:
    """Return the share of the DRAM's peak that so many bytes in so many core cycles are."""
    peak = design.channels * design.memory.channel.bytes_per_second
    return bytes_read * design.clock_hz / (cycles * peak)


@cache
def _library() -> ctypes.CDLL:
    names = (*HEADERS, "reader.cpp", "port_reader.cpp")
    texts = {name: (_FOLDER / name).read_text(encoding="utf-8") for name in names}
    library = ctypes.CDLL(native_library(texts | {"reader_layouts.h": layouts_text(STRUCTURES)}))
    config, number, long = ctypes.c_void_p, ctypes.c_uint32, ctypes.c_uint64
    library.alula_read.argtypes = [config, number, number, long]
    library.alula_read.restype = long
    library.alula_read_ports.restype = None
    return library
