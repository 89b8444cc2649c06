"""The machine model: executes a program on a memory, bit for bit as the contract says."""

from alula.model.counters import Counters
from alula.model.errors import (
    Deadlock,
    MachineError,
    OutOfRange,
    UndefinedBehaviour,
    Unimplemented,
    Unsupported,
)
from alula.model.machine import Machine
from alula.model.scheduler import Retired

__all__ = [
    "Counters",
    "Deadlock",
    "Machine",
    "MachineError",
    "OutOfRange",
    "Retired",
    "UndefinedBehaviour",
    "Unimplemented",
    "Unsupported",
]
