"""Where the command line begins and ends: its streams, Ctrl-C, and the exit code.

Imports nothing that takes time: a person may change their mind in the first second.
"""

import os
import signal
import sys
import warnings
from io import TextIOWrapper
from types import FrameType

_INTERRUPTED = "alula: interrupted"
_USER_ERROR = 2
_TYPER_INTERRUPTED = 130
"""What Typer returns where Ctrl-C came between two commands of ours."""


def main() -> None:
    """Run the command line and exit: 0 well, 2 the user's mistake or Ctrl-C."""
    try:
        _hear_interrupts()
        _open_streams()
        from alula.cli.interrupt import ends_in_time

        with ends_in_time(_INTERRUPTED, _USER_ERROR):
            code = _run()
    except KeyboardInterrupt:
        code = _TYPER_INTERRUPTED
    if code == _TYPER_INTERRUPTED:
        print(_INTERRUPTED, file=sys.stderr)
        code = _USER_ERROR
    sys.exit(code)


def _hear_interrupts() -> None:
    """Take Ctrl-C also where a shell has started this in the background, which ignores it."""
    signal.signal(signal.SIGINT, _interrupt)


def _interrupt(number: int, frame: FrameType | None) -> None:
    """Raise KeyboardInterrupt; of what is then left half-made, Amaranth's modules, none warns."""
    warnings.simplefilter("ignore")
    signal.default_int_handler(number, frame)


def _run() -> int:
    import logging

    from typer.exceptions import Abort, TyperException

    from alula.cli.app import app
    from alula.cli.errors import USER_ERROR, Told, end_output, tell

    logging.getLogger("alula").handlers = [Told()]
    try:
        code = app(standalone_mode=False, prog_name="alula")
        sys.stdout.flush()
    except TyperException as error:
        tell(error.format_message())
        return USER_ERROR
    except Abort:
        return _TYPER_INTERRUPTED
    except OSError as error:
        return end_output(error)
    return code if isinstance(code, int) else 0


def _open_streams() -> None:
    """Give each standard stream a file, so that none opened later takes its number and its output.

    What the output's encoding does not have is escaped.
    """
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        if getattr(sys, name) is None:
            reads = name == "stdin"
            handle = os.open(os.devnull, os.O_RDONLY if reads else os.O_WRONLY)
            if handle != number:
                os.dup2(handle, number)
                os.close(handle)
            setattr(sys, name, os.fdopen(number, "r" if reads else "w", encoding="utf-8"))
    if isinstance(sys.stdout, TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")
