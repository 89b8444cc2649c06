"""From what went wrong to one line and an exit code."""

import logging
import os
import sys
from collections.abc import Callable
from functools import wraps
from typing import ParamSpec

import typer

from alula.printable import printable

USER_ERROR = 2
_MOST_CHARACTERS = 2000
"""Of a line for people."""

Arguments = ParamSpec("Arguments")


def guarded(command: Callable[Arguments, None]) -> Callable[Arguments, None]:
    """Make a command tell what a person can fix in one line, with exit code 2, no traceback.

    That is every error that Alula's packages define, and the operating system's. Anything else is a
    defect and shows its traceback. Ctrl-C is reported like a mistake. An error may have another
    `exit_code`; one that has a table to show gives its `lines`.
    """

    @wraps(command)
    def run(*args: Arguments.args, **kwargs: Arguments.kwargs) -> None:
        try:
            command(*args, **kwargs)
        except KeyboardInterrupt:
            tell("interrupted")
            raise typer.Exit(USER_ERROR) from None
        except MemoryError:
            tell("this machine must have more free memory for that")
            raise typer.Exit(USER_ERROR) from None
        except OSError as error:
            raise typer.Exit(end_output(error)) from None
        except Exception as error:
            if not type(error).__module__.startswith("alula."):
                raise
            tell(*getattr(error, "lines", (str(error),)))
            raise typer.Exit(getattr(error, "exit_code", USER_ERROR)) from None

    return run


def tell(message: str, *more: str) -> None:
    """Write "alula: message" to standard error as one line, then further lines of a table."""
    print("\n".join(map(_line, (f"alula: {message}", *more))), file=sys.stderr)


def _line(text: str) -> str:
    """Return text as one line of a length that can be read: what a file says has no bound."""
    half = _MOST_CHARACTERS // 2
    if len(text) > _MOST_CHARACTERS:
        text = f"{text[:half]} ... {text[-half:]}"
    return printable(text)


def end_output(error: OSError) -> int:
    """Tell what the operating system refused, write nothing more, and return the exit code."""
    try:
        sys.stdout.flush()
    except OSError:
        # What is left would be tried again when Python ends.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    if isinstance(error, BrokenPipeError):
        # Whoever read the output has had enough of it.
        return 0
    tell(os_error_line(error))
    return USER_ERROR


class Told(logging.Handler):
    """Tells what Alula's packages warn of, such as a damaged cache, as one line each."""

    def emit(self, record: logging.LogRecord) -> None:
        """Write a record to standard error."""
        tell(record.getMessage())


def os_error_line(error: OSError) -> str:
    """Return what the operating system refused, and where."""
    reason = (error.strerror or str(error)).lower()
    where = error.filename2 or error.filename
    return f"{reason}: {_name(where)}" if where else reason


def _name(where: object) -> str:
    return os.fsdecode(where) if isinstance(where, bytes) else str(where)
