"""What a unit must give against what it gave, in order."""

from collections.abc import Mapping, Sequence
from typing import Any


class _Anything:
    def __repr__(self) -> str:
        return "anything"


ANYTHING = _Anything()
"""An expected value that every value equals."""


class Mismatch(AssertionError):
    """A unit gave something else than its model, or too little, or too much."""


class Scoreboard:
    """Compares items in order. `expected` may grow while the unit runs.

    A field that an expected dict leaves out is not compared.
    """

    def __init__(self, name: str, expected: Sequence[Any] = ()) -> None:
        self.name = name
        self.expected = list(expected)
        self.count = 0

    @property
    def complete(self) -> bool:
        """Everything expected has come."""
        return self.count >= len(self.expected)

    def take(self, found: Any) -> None:
        """Compare the next item. Mismatch names its index, what must be and what is."""
        index = self.count
        if index >= len(self.expected):
            raise Mismatch(
                f"{self.name} must end after {len(self.expected)} items, not give {shown(found)}"
            )
        expected = self.expected[index]
        if not matches(expected, found):
            raise Mismatch(
                f"{self.name}[{index}] of {len(self.expected)} must be {shown(expected)},"
                f" not {shown(found)}{self._elsewhere(found)}"
            )
        self.count += 1

    def _elsewhere(self, found: Any) -> str:
        """Say where nearby the found item would have been right: lost, repeated or swapped."""
        for distance in (1, -1, 2, -2, 3, -3):
            index = self.count + distance
            if 0 <= index < len(self.expected) and matches(self.expected[index], found):
                return f" (which is right for [{index}])"
        return ""


def matches(expected: Any, found: Any) -> bool:
    """Whether an item is as expected, field by field."""
    if expected is ANYTHING:
        return True
    if isinstance(expected, Mapping) and isinstance(found, Mapping):
        return all(key in found and matches(item, found[key]) for key, item in expected.items())
    if isinstance(expected, list | tuple) and isinstance(found, list | tuple):
        return len(expected) == len(found) and all(map(matches, expected, found))
    return bool(expected == found)


def shown(value: Any) -> str:
    """Return a value as text, numbers of more than one digit with their bits in hexadecimal."""
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{key}: {shown(item)}" for key, item in value.items()) + "}"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(map(shown, value)) + "]"
    if isinstance(value, int) and value > 9:
        return f"{int(value)} ({int(value):#x})"
    return str(value)
