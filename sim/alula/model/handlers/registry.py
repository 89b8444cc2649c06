"""Which function executes which instruction."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

from alula.isa.instructions import BY_NAME, MISC_COUNTS, Engine
from alula.model.errors import OutOfRange

__all__ = ["HANDLERS", "executes"]

Handler = Callable[..., None]

HANDLERS: dict[str, Handler] = {}
"""Name of an instruction to its meaning. A handler takes the state (SYS: the sequencer) and a value
for each field in declared order: operands resolved, choices by name, registers read, but for `rd`,
which is a register's number."""


def executes(name: str) -> Callable[[Any], Any]:
    """Register a function as the meaning of instruction `name`."""

    def register(function: Handler) -> Handler:
        if name in HANDLERS:
            raise ValueError(f"{name} must have one handler, not two")
        HANDLERS[name] = _counted(name, function)
        return function

    return register


def _counted(name: str, function: Handler) -> Handler:
    """A function that raises OutOfRange where an instruction of MISC counts too far."""
    instruction = BY_NAME[name]
    if instruction.engine is not Engine.MISC or not instruction.fields:
        return function
    counts = [
        (index, field.name, MISC_COUNTS[field.name])
        for index, field in enumerate(instruction.fields)
        if field.name in MISC_COUNTS
    ]

    @functools.wraps(function)
    def handler(state: Any, *values: Any) -> None:
        for index, field, most in counts:
            if values[index] > most:
                raise OutOfRange(f"{name} {field} must be at most {most}, not {values[index]}")
        function(state, *values)

    return handler
