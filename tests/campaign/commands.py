"""What reads an input: the command line, and what only Python does with a file."""

import sys
from pathlib import Path

import typer
from tests.campaign import sources

from alula.cli.errors import guarded
from alula.isa import Image, Program
from alula.model import Machine

_WATCHDOG = 300


@guarded
def _sweep(path: str) -> None:
    from alula.explore.sweep_file import load_sweep

    assert load_sweep(Path(path)).count


@guarded
def _run_program(path: str) -> None:
    program = Program.load(Path(path))
    inputs = dict.fromkeys(program.inputs, 1)
    Machine(sources.NANO, watchdog=_WATCHDOG).run(program, inputs)


@guarded
def _load_image(path: str) -> None:
    Machine(sources.NANO).load(Image.load(Path(path)))


_OWN = {"@sweep": _sweep, "@run-program": _run_program, "@load-image": _load_image}


def run(words: list[str]) -> int:
    """Run a command in this process and return its exit code. What is a defect is raised."""
    if words[0] in _OWN:
        try:
            _OWN[words[0]](*words[1:])
        except typer.Exit as end:
            return end.exit_code
        return 0
    from alula.cli import main

    sys.argv = ["alula", *words]
    try:
        main()
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else 1
    raise AssertionError("the command must exit")
