"""The external memory as the accelerator sees it."""

from collections.abc import Iterator
from dataclasses import replace
from itertools import pairwise
from typing import Annotated, Literal

from pydantic import Field

from alula.design.dram import Dram, DramChannel
from alula.design.error import listed
from alula.design.memory_ports import LEAST_PORT_BYTES, SWITCHES, MemoryPorts, own_ports
from alula.design.record import Record, Whole

MIB = 1024 * 1024
MOST_ADDRESS_BITS = 64
MOST_ADDRESS = (1 << MOST_ADDRESS_BITS - 1) - MIB
MOST_WINDOWS = 4


class Window(Record):
    """A range of the chip's addresses at which a part of the memory is found."""

    address: Annotated[int, Field(ge=0, le=MOST_ADDRESS, multiple_of=MIB)]
    """The chip's address of the part's first byte, a multiple of 1 MiB."""

    mib: Annotated[int, Field(ge=1, le=1 << 20)]
    """Size of the part in MiB."""

    @property
    def end(self) -> int:
        """The address behind it."""
        return self.address + self.mib * MIB


class Memory(Record):
    """External memory: independent channels of equal width and size."""

    kind: Literal["ddr3", "ddr4", "ddr5", "lpddr4", "hbm2", "hbm2e", "hbm3"]
    """The memory's kind."""

    channels: Annotated[int, Field(ge=1, le=256)]
    """Channels in all; each core owns channels // cores of them."""

    beat_bytes: Annotated[Literal[8, 16, 32, 64, 128], Whole]
    """Bytes that one channel moves in one cycle of the core clock; AXI has no wider port."""

    capacity_mib: Annotated[int, Field(ge=1, le=1 << 20)]
    """Size of the whole memory in MiB, shared evenly by the channels."""

    ports: Annotated[Literal[1, 2, 4, 8], Whole] = 1
    """AXI ports through which each channel is read, each with its share of beat_bytes.

    With several ports the first one writes, too. They lead to one controller: where the memory is
    a beat wide but the chip's ports to it are not.
    """

    switch: Annotated[str, Field(json_schema_extra={"examples": [*SWITCHES]})] | None = None
    """What joins the ports before the controller, for the simulated memory; none: nothing."""

    address_bits: Annotated[int, Field(ge=1, le=MOST_ADDRESS_BITS)] | None = None
    """Bits of an address at the AXI ports; none: as few as the memory needs."""

    windows: Annotated[tuple[Window, ...], Field(max_length=MOST_WINDOWS, strict=False)] = ()
    """Where among the chip's addresses the memory lies, part by part; none: at 0, in one piece.

    The last may be larger than what is left of the memory.
    """

    dram: Dram = Dram()
    """The DRAM of each channel: what the simulated memory's timing is made of."""

    @property
    def channel(self) -> DramChannel:
        """The DRAM of a channel, everything decided."""
        return self.dram.channel(self.kind)

    @property
    def channel_bytes(self) -> int:
        """Size of one channel in bytes."""
        return self.capacity_mib * MIB // self.channels

    @property
    def port_bytes(self) -> int:
        """Bytes of a beat at an AXI port."""
        return self.beat_bytes // self.ports

    @property
    def chip_bits(self) -> int:
        """Bits of an address at the AXI ports."""
        return self.address_bits or self._least_address_bits

    @property
    def axi(self) -> MemoryPorts:
        """How the AXI ports of a channel lead to its controller."""
        if self.switch is None:
            return own_ports(self.ports, self.port_bytes)
        switch = SWITCHES[self.switch]
        return replace(switch, controller=switch.controller[: self.ports])

    @property
    def _least_address_bits(self) -> int:
        ends = [window.end for window in self.windows] or [self.channel_bytes]
        return (max(ends) - 1).bit_length()

    def impossibilities(self) -> Iterator[tuple[str, str, str]]:
        """Yield (key, what it must be, what it is) for each rule that spans several fields."""
        if self.capacity_mib % self.channels:
            multiple = f"a multiple of {self.channels} (memory.channels)"
            yield "capacity_mib", multiple, str(self.capacity_mib)
            return
        if self.ports == 1:
            for name, none in (("switch", None), ("address_bits", None), ("windows", ())):
                if getattr(self, name) != none:
                    yield name, "left out where memory.ports is 1", "given"
        elif self.port_bytes < LEAST_PORT_BYTES:
            most = max(1, self.beat_bytes // LEAST_PORT_BYTES)
            yield "ports", f"at most {most} (memory.beat_bytes)", str(self.ports)
        yield from self._switch_impossibilities()
        yield from self._window_impossibilities()

    def _switch_impossibilities(self) -> Iterator[tuple[str, str, str]]:
        if self.switch is None:
            return
        switch = SWITCHES.get(self.switch)
        if switch is None:
            yield "switch", listed([*SWITCHES]), repr(self.switch)
        elif len(switch.controller) < self.ports:
            most = f"at most {len(switch.controller)} (memory.switch)"
            yield "ports", most, str(self.ports)
        elif switch.port_bytes != self.port_bytes:
            wanted = f"{switch.port_bytes * self.ports} (memory.switch and memory.ports)"
            yield "beat_bytes", wanted, str(self.beat_bytes)

    def _window_impossibilities(self) -> Iterator[tuple[str, str, str]]:
        if self.windows:
            if self.channels != 1:
                yield "windows", "left out where memory.channels is not 1", "given"
            most = sum(window.mib for window in self.windows)
            if self.capacity_mib > most:
                yield "capacity_mib", f"at most {most} (memory.windows)", str(self.capacity_mib)
            ordered = sorted(self.windows, key=lambda window: window.address)
            for one, other in pairwise(ordered):
                if one.end > other.address:
                    yield "windows", "apart from each other", f"one up to {one.end:#x}"
        if self.chip_bits < self._least_address_bits:
            least = f"at least {self._least_address_bits} (what the memory needs)"
            yield "address_bits", least, str(self.address_bits)
