"""Typed reads from the configuration of a model file."""

import math
from collections.abc import Mapping
from typing import Any

from alula.frontend.refusal import FrontendError

_MISSING: Any = object()


class Fields:
    """A mapping from outside, read key by key with its type checked.

    Every method raises FrontendError if the value is of another type, or if the key is missing (or
    null) and no default is given. ``where`` names the file in those messages.
    """

    def __init__(self, values: Mapping[str, Any], where: object, prefix: str = "") -> None:
        self.values = values
        self.where = where
        self.prefix = prefix

    def __contains__(self, key: str) -> bool:
        return self.values.get(self.prefix + key) is not None

    def _get(self, key: str, default: Any) -> Any:
        value = self.values.get(self.prefix + key)
        if value is None:
            value = default
        if value is _MISSING:
            raise FrontendError(f"{self.prefix}{key} must be given, not missing ({self.where})")
        return value

    def _error(self, key: str, what: str, value: object) -> FrontendError:
        shown = repr(value)
        shown = shown if len(shown) <= 60 else shown[:57] + "..."
        return FrontendError(f"must be {what}, not {shown} ({self.where}: {self.prefix}{key})")

    def size(self, key: str, default: Any = _MISSING) -> int:
        """A positive integer."""
        value = self._get(key, default)
        if not isinstance(value, int) or isinstance(value, bool) or value <= 0:
            raise self._error(key, "a positive integer", value)
        return value

    def real(self, key: str, default: Any = _MISSING) -> float:
        """A finite number."""
        value = self._get(key, default)
        if not _is_finite(value):
            raise self._error(key, "a finite number", value)
        return float(value)

    def positive(self, key: str, default: Any = _MISSING) -> float:
        """A finite number above zero."""
        value = self.real(key, default)
        if value <= 0:
            raise self._error(key, "above zero", value)
        return value

    def positives(self, key: str, count: int) -> list[float]:
        """A list of ``count`` finite numbers above zero."""
        values = self.items(key)
        if len(values) != count or not all(_is_finite(value) and value > 0 for value in values):
            raise self._error(key, f"{count} numbers above zero", values)
        return [float(value) for value in values]

    def flag(self, key: str, default: Any = _MISSING) -> bool:
        """True or false."""
        value = self._get(key, default)
        if not isinstance(value, bool):
            raise self._error(key, "true or false", value)
        return value

    def text(self, key: str, default: Any = _MISSING) -> str:
        """A string."""
        value = self._get(key, default)
        if not isinstance(value, str):
            raise self._error(key, "a string", value)
        return value

    def items(self, key: str) -> list[Any]:
        """A list, empty if the key is missing."""
        value = self._get(key, [])
        if not isinstance(value, list):
            raise self._error(key, "a list", value)
        return value

    def table(self, key: str) -> "Fields":
        """A mapping, empty if the key is missing."""
        value = self._get(key, {})
        if not isinstance(value, dict):
            raise self._error(key, "a mapping", value)
        return Fields(value, f"{self.where}: {key}")


def _is_finite(value: Any) -> bool:
    """Whether a value is a number, no bool, that a float can hold."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    try:
        return math.isfinite(value)
    except OverflowError:
        return False
