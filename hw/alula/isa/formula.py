"""Formulas over an instruction's fields and a machine's sizes: one text is shown and computed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from types import CodeType

__all__ = ["Formula"]


def _ceil(above: int, below: int) -> int:
    return -(-above // below)


_FUNCTIONS = {"__builtins__": {}, "ceil": _ceil, "max": max}


@dataclass(frozen=True)
class Formula:
    """Integer arithmetic over names, in Python's notation.

    ``ceil(a, b)`` is a / b rounded up; ``max`` is the largest of its arguments.

    Raises:
        SyntaxError: The text is no expression; when it is first looked at.
    """

    text: str

    @cached_property
    def _code(self) -> CodeType:
        return compile(self.text, "formula", "eval")

    @cached_property
    def names(self) -> frozenset[str]:
        """What must have a value."""
        return frozenset(self._code.co_names) - _FUNCTIONS.keys()

    def __call__(self, values: Mapping[str, int]) -> int:
        """The value. NameError if a name has none."""
        return eval(self._code, _FUNCTIONS, values)

    def __str__(self) -> str:
        return self.text
