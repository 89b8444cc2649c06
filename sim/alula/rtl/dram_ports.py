"""Several AXI ports before one DRAM controller, as the model has them."""

import ctypes
from collections.abc import Sequence

from alula.design import Design
from alula.design.memory_ports import MAX_PORTS, MemoryPorts
from alula.rtl import dram
from alula.rtl.layouts import Structures

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


STRUCTURES: Structures = {**dram.STRUCTURES, "PortsConfig": PortsConfig}


def ports_config(design: Design, ports: MemoryPorts, bases: Sequence[int] = ()) -> PortsConfig:
    """Return AXI ports of one of a design's channels, for the model.

    Args:
        design: Whose DRAM it is.
        ports: The AXI ports.
        bases: For each of them, the first byte of its part of the memory: a multiple of the bytes
            of a DRAM burst. None: each has the whole memory.

    Raises:
        ValueError: As many bases as ports are not given, or one is no such multiple.
    """
    channel, count = design.memory.channel, len(ports.controller)
    bases = bases or (0,) * count
    if len(bases) != count or any(base % channel.access_bytes for base in bases):
        raise ValueError(f"bases must be {count} multiples of {channel.access_bytes}, not {bases}")
    clocks = ports.access_clocks(channel.access_bytes, channel.clock_hz)
    config = PortsConfig(ports=count, clocks=clocks)
    for port, (controller, base) in enumerate(zip(ports.controller, bases, strict=True)):
        config.controller[port] = controller
        config.base[port] = base // channel.access_bytes
    return config
