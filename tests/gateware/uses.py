"""What an engine says that it waits for, compared in each cycle with what its ports show."""

from collections.abc import Callable

from alula.bench import Mismatch, Unit
from alula.bench.wires import StreamWires

__all__ = ["Uses", "waits"]


def waits(stream: StreamWires) -> bool:
    """Whether the last edge saw an offer that was not taken."""
    return stream.valid_now() and not stream.ready_now()


class Uses:
    """Compares `starved` and `blocked` in each cycle. Join it before the roles of the streams.

    Args:
        unit: The unit, which has both as ports.
        wanted: Says what they must be in this cycle.
        prefix: In front of the ports' names.
    """

    moved = False

    def __init__(
        self, unit: Unit, wanted: Callable[[], tuple[bool, bool]], prefix: str = ""
    ) -> None:
        self._wanted = wanted
        self._wires = {name: unit.wires[prefix + name] for name in ("starved", "blocked")}
        self.seen = dict.fromkeys(self._wires, 0)

    def cycle(self) -> None:
        for (name, wire), wanted in zip(self._wires.items(), self._wanted(), strict=True):
            found = wire.get()
            if found != wanted:
                raise Mismatch(f"{wire.name} must be {wanted:d}, not {found}")
            self.seen[name] += found
