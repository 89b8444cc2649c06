"""Which unit of the model each instruction of a run serves, its layer included."""

from array import array
from collections.abc import Sequence

from alula.isa import Engine
from alula.model import Retired


class RetirementLog:
    """A run's `on_retire` on the machine model: what each engine retires, in order."""

    def __init__(self) -> None:
        self._addresses = {engine: array("I") for engine in Engine}
        self._units: dict[Engine, list[str]] = {engine: [] for engine in Engine}

    def __call__(self, retired: Retired) -> None:
        """Keep what has just retired."""
        engine = retired.op.instruction.engine
        self._addresses[engine].append(retired.address)
        self._units[engine].append(retired.origin)

    def listed(self, engine: Engine) -> tuple[Sequence[int], Sequence[str]]:
        """Addresses and units of what an engine has retired, in order."""
        return self._addresses[engine], self._units[engine]

    def unit(self, engine: Engine, address: int, numbers: range) -> str:
        """The unit that an engine's instruction at an address serves.

        `numbers`: of the retirements that it may be, from 0 on; "" if none of them is of that
        address, or if some serve one unit and some another.
        """
        addresses, units = self._addresses[engine], self._units[engine]
        held = range(max(0, numbers.start), min(numbers.stop, len(units)))
        found = {units[number] for number in held if addresses[number] == address}
        return found.pop() if len(found) == 1 else ""
