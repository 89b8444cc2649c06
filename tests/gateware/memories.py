"""cocotbext-axi's memories behind the AXI ports of a unit."""

import logging
from collections.abc import Iterator, Mapping
from random import Random
from typing import Any

from cocotbext.axi import AxiReadBus, AxiSlaveRead, AxiSlaveWrite, AxiWriteBus
from cocotbext.axi.address_space import Region

from alula.bench import Unit

__all__ = ["Channel", "Pauses", "attach", "channels"]


Pauses = Mapping[str, Iterator[bool]]
"""By a channel of AXI, "r" for example, when it is stalled."""

_SIDES = {
    "read": (AxiReadBus, AxiSlaveRead, ("ar", "r")),
    "write": (AxiWriteBus, AxiSlaveWrite, ("aw", "w", "b")),
}


class Channel(Region):
    """The memory of one channel. Reads and writes of `broken` bytes are refused."""

    def __init__(self, size: int) -> None:
        super().__init__(size)
        self.data = bytearray(size)
        self.broken: range = range(0)
        self.reads: list[tuple[int, int]] = []
        self.axi: Any = None

    async def _read(self, address: int, length: int, **_: object) -> bytes:
        self.reads.append((address, length))
        if address in self.broken or address + length > len(self.data):
            raise OSError("broken")
        return bytes(self.data[address : address + length])

    async def _write(self, address: int, data: bytes, **_: object) -> None:
        if address in self.broken or address + len(data) > len(self.data):
            raise OSError("broken")
        self.data[address : address + len(data)] = data


def _pauses(random: Random, probability: float) -> Iterator[bool]:
    while True:
        yield random.random() < probability


def attach(unit: Unit, kind: str, prefix: str, memory: Region, pauses: Pauses) -> Any:
    """Put a memory behind the "read" or "write" side of the port of that prefix."""
    bus, slave, _ = _SIDES[kind]
    wires = bus.from_prefix(unit.dut, prefix)
    axi = slave(wires, unit.dut.clk, unit.dut.rst, target=memory)
    axi.log.setLevel(logging.CRITICAL)
    for name, pause in pauses.items():
        getattr(axi, f"{name}_channel").set_pause_generator(pause)
    return axi


def channels(unit: Unit, kind: str, count: int, size: int, pause: float) -> list[Channel]:
    """The channels of `axi`, "read" or "write", empty, with random pauses."""
    random = Random(unit.random.random())
    found = []
    for number in range(count):
        channel = Channel(size)
        names = _SIDES[kind][2] if pause else ()
        pauses = {name: _pauses(random, pause) for name in names}
        channel.axi = attach(unit, kind, f"axi__{number}_", channel, pauses)
        found.append(channel)
    return found
