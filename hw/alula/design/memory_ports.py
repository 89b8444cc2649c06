"""AXI ports of a chip in front of its memory controller."""

from dataclasses import dataclass
from fractions import Fraction
from math import ceil

MAX_PORTS = 8
LEAST_PORT_BYTES = 16
"""With fewer, a burst of 4 KiB had more beats than AXI's 256."""
KEPT = 22
"""Stripes of a port that have been asked for and not been handed on."""
RESPONSE_BITS = 2
"""Of memory, beside each part of a beat."""
_STRIPE = 256
_STRIPE_BEATS = 4
_LEAST_BEATS = 128


def stripe_bytes(beat_bytes: int) -> int:
    """Return the bytes that one of a channel's ports reads before the next one reads on."""
    return max(_STRIPE, _STRIPE_BEATS * beat_bytes)


def kept_beats(beat_bytes: int) -> int:
    """Return the beats of a channel that the buffer behind one of its ports holds."""
    beats = KEPT * stripe_bytes(beat_bytes) // beat_bytes
    return max(_LEAST_BEATS, 1 << (beats - 1).bit_length())


@dataclass(frozen=True)
class MemoryPorts:
    """AXI ports that lead to one memory controller, some of them through the same port of it.

    Attributes:
        port_bytes: Bytes that an AXI port moves in a cycle of its clock.
        controller: For each AXI port, the port of the controller that it leads to, from 0.
        controller_bytes: Bytes that a port of the controller moves in a cycle of its own clock.
        controller_hz: That clock; none: it is never waited for.

    Raises:
        ValueError: There are no ports, or too many, or ports of the controller are left out.
    """

    port_bytes: int
    controller: tuple[int, ...]
    controller_bytes: int
    controller_hz: Fraction | None = None

    def __post_init__(self) -> None:
        if not 1 <= len(self.controller) <= MAX_PORTS:
            raise ValueError(f"ports must be 1 to {MAX_PORTS}, not {len(self.controller)}")
        if set(self.controller) != set(range(max(self.controller) + 1)):
            raise ValueError(f"controller must count from 0 without a gap, not {self.controller}")

    def access_clocks(self, access_bytes: int, clock_hz: int) -> int:
        """Return the clocks of `clock_hz`, rounded up, in which a controller's port passes that."""
        if self.controller_hz is None:
            return 0
        return ceil(access_bytes * clock_hz / (self.controller_bytes * self.controller_hz))

    def bytes_per_cycle(self, clock_hz: int, share: Fraction = Fraction(1)) -> Fraction:
        """Return the bytes that all ports move in a cycle of that clock, each as fast as it can.

        `share`: of the time in which the controller passes anything. An AXI port that is slower
        than its way to the controller catches up in it.
        """
        found = Fraction(0)
        for number in set(self.controller):
            several = Fraction(self.port_bytes * self.controller.count(number))
            if self.controller_hz is not None:
                way = self.controller_bytes * self.controller_hz / clock_hz
                several = min(several, way * share)
            found += several
        return found


ZYNQ_ULTRASCALE = MemoryPorts(
    port_bytes=16,
    controller=(0, 1, 1, 2),
    controller_bytes=16,
    controller_hz=Fraction(1_600_000_000, 3),
)
"""S_AXI_HP0_FPD to S_AXI_HP3_FPD of a Zynq UltraScale+ (AMD UG1085): HP1 and HP2 share a port.

The ports' switch runs at 533 MHz.
"""

SWITCHES = {"zynq-ultrascale+": ZYNQ_ULTRASCALE}
"""By what a design's `memory.switch` says."""


def own_ports(ports: int, port_bytes: int) -> MemoryPorts:
    """Return AXI ports each of which leads to a port of the controller that is never waited for."""
    return MemoryPorts(port_bytes, tuple(range(ports)), port_bytes)
