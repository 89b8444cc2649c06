"""What it takes to get bytes from one device to another: the one way through the tree of links."""

from dataclasses import dataclass

from alula.runtime.planning.devices import Devices, Link
from alula.runtime.planning.errors import PlanError


@dataclass(frozen=True)
class Route:
    """The links from one device to another; each device on the way passes the whole on."""

    links: tuple[Link, ...]

    def seconds(self, size: float, pieces: int = 1) -> float:
        """Return what `size` bytes take that cross in some pieces."""
        return sum(
            pieces * link.latency_us * 1e-6 + size / (link.bandwidth_gbs * 1e9)
            for link in self.links
        )


def routes(devices: Devices) -> dict[tuple[str, str], Route]:
    """Return the way from each device to each other one; to itself it is empty."""
    found: dict[tuple[str, str], Route] = {}
    for start in devices.devices:
        found[start, start] = Route(())
        ways = [start]
        for here in ways:
            for link in devices.links:
                if here not in link.between:
                    continue
                there = next(name for name in link.between if name != here)
                if (start, there) not in found:
                    found[start, there] = Route((*found[start, here].links, link))
                    ways.append(there)
    return found


def slowed(devices: Devices, factor: float) -> Devices:
    """Return the same devices with links that are slower by a factor, latency and bandwidth.

    Raises:
        PlanError: the factor is not positive.
    """
    if not 0 < factor < 1e9:
        raise PlanError(f"links must be slower by a factor above 0, not {factor:g}")
    links = [
        link.model_copy(
            update={
                "bandwidth_gbs": link.bandwidth_gbs / factor,
                "latency_us": link.latency_us * factor,
            }
        )
        for link in devices.links
    ]
    return devices.model_copy(update={"links": links})
