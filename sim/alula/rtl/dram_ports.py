"""What several AXI ports before one DRAM controller give to a plain reader."""

import ctypes
from collections.abc import Sequence
from functools import cache
from pathlib import Path

from alula.design import Design
from alula.design.memory_ports import MAX_PORTS, MemoryPorts
from alula.rtl import dram
from alula.rtl.layouts import layouts_text
from alula.rtl.native import native_library

_FOLDER = Path(__file__).parent
HEADERS = (*dram.HEADERS, "dram_ports.h")
"""The model's C++."""


class PortsConfig(ctypes.Structure):
    """The `PortsConfig` of dram_ports.h."""

    _fields_ = [
        ("ports", ctypes.c_uint32),
        ("clocks", ctypes.c_uint32),
        ("controller", ctypes.c_uint32 * MAX_PORTS),
        ("base", ctypes.c_uint64 * MAX_PORTS),
    ]


def ports_config(design: Design, ports: MemoryPorts, bases: Sequence[int]) -> PortsConfig:
    """Return AXI ports of a design's only channel, for the model.

    Args:
        design: Whose DRAM it is.
        ports: The AXI ports.
        bases: For each of them, the first byte of its part of the memory: a multiple of the bytes
            of a DRAM burst.

    Raises:
        ValueError: There are several channels, or as many bases as ports are not given, or one is
            no such multiple.
    """
    channel, count = design.memory.channel, len(ports.controller)
    if design.channels != 1:
        raise ValueError(f"channels must be 1 behind one controller, not {design.channels}")
    if len(bases) != count or any(base % channel.access_bytes for base in bases):
        raise ValueError(f"bases must be {count} multiples of {channel.access_bytes}, not {bases}")
    clocks = ports.access_clocks(channel.access_bytes, channel.clock_hz)
    config = PortsConfig(ports=count, clocks=clocks)
    for port, (controller, base) in enumerate(zip(ports.controller, bases, strict=True)):
        config.controller[port] = controller
        config.base[port] = base // channel.access_bytes
    return config


def sequential_port_bytes(
    design: Design, ports: MemoryPorts, bases: Sequence[int], cycles: int, *, in_step: bool
) -> list[int]:
    """Return the bytes that a plain sequential reader gets through each AXI port.

    Each port is read from its base on, as `dram.sequential_bytes` reads a channel. In step, a beat
    is taken where every port has its part: so an accelerator takes it whose beats lie across ports.

    Raises:
        ValueError: As of `ports_config`.
        ToolchainError: there is no C++ compiler.
    """
    beats = (ctypes.c_uint64 * MAX_PORTS)()
    _library().alula_read_ports(
        ctypes.byref(dram.dram_config(design)),
        ctypes.byref(ports_config(design, ports, bases)),
        ctypes.c_uint32(ports.port_bytes),
        ctypes.c_uint32(in_step),
        ctypes.c_uint64(cycles),
        beats,
    )
    return [ports.port_bytes * beats[port] for port in range(len(ports.controller))]


@cache
def _library() -> ctypes.CDLL:
    names = (*HEADERS, "port_reader.cpp")
    texts = {name: (_FOLDER / name).read_text(encoding="utf-8") for name in names}
    structures = {**dram.STRUCTURES, "PortsConfig": PortsConfig}
    library = ctypes.CDLL(native_library(texts | {"port_layouts.h": layouts_text(structures)}))
    library.alula_read_ports.restype = None
    return library
