"""Libraries that only some work needs; `pip install "alula[explore]"` brings them."""

from importlib import import_module
from typing import Any


class MissingLibrary(ValueError):
    """A library that is not installed; the message says what brings it."""


def needed(library: str, module: str) -> Any:
    """Return a module of a library.

    Raises:
        MissingLibrary: it is not installed.
    """
    try:
        return import_module(module)
    except ModuleNotFoundError:
        advice = 'pip install "alula[explore]"'
        raise MissingLibrary(f"{library} must be installed, not missing: {advice}") from None
