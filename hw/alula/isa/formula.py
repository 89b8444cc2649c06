"""Formulas over an instruction's fields and a machine's sizes: one text is shown and computed."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property, partial
from types import CodeType
from typing import Any

import numpy as np

from alula.isa.formats import FORMATS, PATTERNS, WEIGHT_FORMATS, BeatKind
from alula.isa.functions import FUNCTIONS as SFU_FUNCTIONS


def _ceil(above: int, below: int) -> int:
    return -(-above // below)


def _where(condition: int, this: int, other: int) -> int:
    return this if condition else other


FUNCTIONS = {
    "__builtins__": {},
    "ceil": _ceil,
    "max": max,
    "where": _where,
    "W8": FORMATS["W8"].beats,
}
"""What every formula may call."""
ARRAYS = {"max": np.maximum, "where": np.where}
"""The same of arrays of numbers, to be given beside the values."""


@dataclass(frozen=True)
class Formula:
    """Integer arithmetic over names, in Python's notation.

    ``ceil(a, b)`` is a / b rounded up; ``max`` is the largest of its arguments; ``where(c, a, b)``
    is a where c is not zero, else b; ``W8(b, G)`` is the beats of b row blocks of G groups in W8,
    ``beats(b, G)`` those in the instruction's format, ``index_beats(b, G)`` those of its indices.

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
        return frozenset(self._code.co_names) - FUNCTIONS.keys()

    def __call__(self, values: Mapping[str, Any]) -> Any:
        """The value. NameError if a name has none."""
        return eval(self._code, FUNCTIONS, values)

    def __str__(self) -> str:
        return self.text


def numbers(values: Mapping[str, Any]) -> dict[str, Any]:
    """An instruction's fields as formulas take them: choices become what matters of them.

    Values may be arrays. KeyError if the contract has no such weight format.
    """
    found = {field: value for field, value in values.items() if not isinstance(value, str)}
    if "nm" in values:
        pattern = PATTERNS[values["nm"]]
        item = WEIGHT_FORMATS[values["fmt"], pattern.name]
        found |= {"P": pattern.segments, "HALVES": 4 if pattern.name == "2:16" else 2}
        found |= {"SCALES": int(item.scales), "beats": item.beats}
        found["index_beats"] = partial(item.count, BeatKind.INDEX)
    if "type" in values:
        found["BYTES"] = {"fp32": 4, "bf16": 2}[values["type"]]
    if "func" in values:
        found["TABLE"] = int(SFU_FUNCTIONS[values["func"]].table is not None)
    return found
