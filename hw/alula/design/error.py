"""The one line that says what is wrong with a design, and where."""

from collections.abc import Iterable
from difflib import get_close_matches
from typing import Any

from alula.printable import printable


class DesignError(ValueError):
    """A design that cannot be: its text is "must be X, not Y (place)", always one line.

    Attributes:
        expected: what the value must be.
        actual: what it is, as text.
        place: file and key, such as "designs/kv260.yaml: mpe.tokens".
    """

    def __init__(self, expected: str, actual: str, place: str) -> None:
        super().__init__(printable(f"must be {expected}, not {actual} ({place})"))
        self.expected = expected
        self.actual = actual
        self.place = place


def shown(value: Any) -> str:
    """Return a YAML value as a few words for the "not Y" of an error."""
    if value is None:
        return "empty"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, dict):
        return "a mapping"
    if isinstance(value, (list, tuple)):
        return "a list"
    try:
        text = repr(value)
    except ValueError:
        # Python writes no whole number of more than some thousand digits.
        return "a number of thousands of digits"
    return text if len(text) <= 60 else text[:57] + "..."


def listed(values: list[str], last: str = "or") -> str:
    """Return "a, b or c"."""
    if len(values) == 1:
        return values[0]
    return f"{', '.join(values[:-1])} {last} {values[-1]}"


def meant(word: str, names: Iterable[str]) -> str:
    """Return "; did you mean kv260?" with the name that is nearest to a word, "" if none is."""
    near = get_close_matches(word, names, 1)
    return f"; did you mean {near[0]}?" if near else ""
