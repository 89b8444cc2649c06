"""From what went wrong to one line and an exit code."""

import os
import sys
from collections.abc import Callable
from functools import wraps
from typing import ParamSpec

import typer

USER_ERROR = 2

Arguments = ParamSpec("Arguments")


def guarded(command: Callable[Arguments, None]) -> Callable[Arguments, None]:
    """Make a command tell what a person can mend in one line, with exit code 2, no traceback.

    That is every error that Alula's packages define, and the operating system's. Anything else is a
    defect and shows its traceback. Ctrl-C is told like a mistake. An error may have another
    `exit_code`.
    """

    @wraps(command)
    def run(*args: Arguments.args, **kwargs: Arguments.kwargs) -> None:
        try:
            command(*args, **kwargs)
        except BrokenPipeError:
            # Whoever read the output has had enough of it.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            raise typer.Exit(0) from None
        except KeyboardInterrupt:
            tell("interrupted")
            raise typer.Exit(USER_ERROR) from None
        except MemoryError:
            tell("this machine must have more free memory for that")
            raise typer.Exit(USER_ERROR) from None
        except OSError as error:
            tell(os_error_line(error))
            raise typer.Exit(USER_ERROR) from None
        except Exception as error:
            if not type(error).__module__.startswith("alula."):
                raise
            tell(str(error))
            raise typer.Exit(getattr(error, "exit_code", USER_ERROR)) from None

    return run


def tell(message: str) -> None:
    """Write "alula: message" to standard error; only its first line is for the person to read."""
    print(f"alula: {message}", file=sys.stderr)


def os_error_line(error: OSError) -> str:
    """Return what the operating system refused, and where."""
    reason = (error.strerror or str(error)).lower()
    where = error.filename2 or error.filename
    return f"{reason}: {where}" if where else reason
