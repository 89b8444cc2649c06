"""The one line that says what is wrong with a design, and where."""

from typing import Any


class DesignError(ValueError):
    """A design that cannot be: its text is "must be X, not Y (place)", always one line.

    Attributes:
        expected: what the value must be.
        actual: what it is, as text.
        place: file and key, such as "designs/kv260.yaml: mpe.tokens".
    """

    def __init__(self, expected: str, actual: str, place: str) -> None:
        super().__init__(f"must be {expected}, not {actual} ({place})")
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
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."


def listed(values: list[str], last: str = "or") -> str:
    """Return "a, b or c"."""
    if len(values) == 1:
        return values[0]
    return f"{', '.join(values[:-1])} {last} {values[-1]}"
