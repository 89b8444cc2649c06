"""What goes wrong in a tokenizer or a chat template, as one line."""

from collections.abc import Iterator
from contextlib import contextmanager

TOO_MUCH_MEMORY = "more memory than it may have"

_LONGEST = 300


class TextError(ValueError):
    """A tokenizer, a template or a text that cannot be used. The message is one line."""


class NotLoadedError(Exception):
    """A tokenizer that the text process does not have, or no longer: it has to be loaded again."""


def reason(error: BaseException) -> str:
    """Return what an error says, on one line; its name if it says nothing."""
    if isinstance(error, MemoryError):
        return TOO_MUCH_MEMORY
    said = " ".join(str(error).split()) or type(error).__name__
    return said if len(said) <= _LONGEST else f"{said[:_LONGEST]}..."


@contextmanager
def refused(what: str) -> Iterator[None]:
    """Turn whatever goes wrong in the block into a TextError "`what`: reason".

    A panic of a library in Rust is no Exception, and is caught as well.
    """
    try:
        yield
    except TextError:
        raise
    except BaseException as error:
        if not isinstance(error, Exception) and type(error).__module__ != "pyo3_runtime":
            raise
        raise TextError(f"{what}: {reason(error)}") from None
