"""cocotbext-axi's memories behind the AXI ports of a unit."""

import logging
from collections.abc import Iterator
from random import Random
from typing import Any

from cocotbext.axi import AxiReadBus, AxiSlaveRead, AxiSlaveWrite, AxiWriteBus
from cocotbext.axi.address_space import Region

__all__ = ["Channel", "channels"]


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


def channels(unit: Any, kind: str, count: int, size: int, pause: float) -> list[Channel]:
    """The channels of `axi`, "read" or "write", empty, with random pauses."""
    random = Random(unit.random.random())
    bus, slave, names = {
        "read": (AxiReadBus, AxiSlaveRead, ("ar_channel", "r_channel")),
        "write": (AxiWriteBus, AxiSlaveWrite, ("aw_channel", "w_channel", "b_channel")),
    }[kind]
    found = []
    for number in range(count):
        channel = Channel(size)
        wires = bus.from_prefix(unit.dut, f"axi__{number}_")
        channel.axi = slave(wires, unit.dut.clk, unit.dut.rst, target=channel)
        channel.axi.log.setLevel(logging.CRITICAL)
        if pause:
            for name in names:
                getattr(channel.axi, name).set_pause_generator(_pauses(random, pause))
        found.append(channel)
    return found
