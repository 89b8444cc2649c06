"""Which function executes which instruction."""

from collections.abc import Callable
from typing import Any

Handler = Callable[..., None]

HANDLERS: dict[str, Handler] = {}
"""Name of an instruction to its meaning. A handler takes the state (SYS: the sequencer) and a value
for each field in declared order: operands resolved, choices by name, registers read, but for `rd`,
which is a register's number. What is declared as forbidden does not reach it."""


def executes(name: str) -> Callable[[Any], Any]:
    """Register a function as the meaning of instruction `name`."""

    def register(function: Handler) -> Handler:
        if name in HANDLERS:
            raise ValueError(f"{name} must have one handler, not two")
        HANDLERS[name] = function
        return function

    return register
