"""AXI ports of a chip in front of its memory controller."""

from dataclasses import dataclass
from fractions import Fraction
from math import ceil

MAX_PORTS = 8


@dataclass(frozen=True)
class MemoryPorts:
    """AXI ports that lead to one memory controller, some of them through the same port of it.

    Attributes:
        port_bytes: Bytes that an AXI port moves in a cycle of its clock.
        controller: For each AXI port, the port of the controller that it leads to, from 0.
        controller_bytes: Bytes that a port of the controller moves in a cycle of its own clock.
        controller_hz: That clock.
        windows: Where the memory lies among the chip's addresses: (first, bytes) of each window.

    Raises:
        ValueError: There are no ports, or too many, or ports of the controller are left out.
    """

    port_bytes: int
    controller: tuple[int, ...]
    controller_bytes: int
    controller_hz: Fraction
    windows: tuple[tuple[int, int], ...]

    def __post_init__(self) -> None:
        if not 1 <= len(self.controller) <= MAX_PORTS:
            raise ValueError(f"ports must be 1 to {MAX_PORTS}, not {len(self.controller)}")
        if set(self.controller) != set(range(max(self.controller) + 1)):
            raise ValueError(f"controller must count from 0 without a gap, not {self.controller}")

    def access_clocks(self, access_bytes: int, clock_hz: int) -> int:
        """Return the clocks of `clock_hz`, rounded up, in which a controller's port passes that."""
        return ceil(access_bytes * clock_hz / (self.controller_bytes * self.controller_hz))

    def place(self, offset: int) -> int:
        """Return the chip's address of a byte of the memory.

        Raises:
            ValueError: The windows end before it.
        """
        rest = offset
        for first, size in self.windows:
            if rest < size:
                return first + rest
            rest -= size
        raise ValueError(
            f"offset must be less than {offset - rest}, the windows' end, not {offset}"
        )


ZYNQ_ULTRASCALE = MemoryPorts(
    port_bytes=16,
    controller=(0, 1, 1, 2),
    controller_bytes=16,
    controller_hz=Fraction(1_600_000_000, 3),
    windows=((0, 2 << 30), (0x8_0000_0000, 32 << 30)),
)
"""S_AXI_HP0_FPD to S_AXI_HP3_FPD of a Zynq UltraScale+ (AMD UG1085): HP1 and HP2 share a port.

The ports' switch runs at 533 MHz. Of the DDR memory 2 GiB lie at 0, the rest at 0x8_0000_0000.
"""
