"""Which clock a rate is told at."""

from pathlib import Path

import pytest

from alula.design import load_design
from alula.synth import SynthError, Tool, clock
from alula.synth.clock import Clock, clock_of, remember

NANO = load_design("nano")
DECLARED = Clock(80, "declared")


@pytest.fixture(autouse=True)
def tools(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> dict[str, str | None]:
    """Versions of the tools, which a test changes; None is a missing one."""
    versions: dict[str, str | None] = {"yosys": "1", "nextpnr": "1"}

    def tool(name: str) -> Tool:
        version = versions[name]
        if version is None:
            raise SynthError(f"{name} must be installed")
        return Tool(name, (), version)

    for name in versions:
        monkeypatch.setattr(clock, name, lambda name=name: tool(name))
    monkeypatch.setenv("ALULA_CACHE", str(tmp_path / "cache"))
    return versions


def test_the_best_known_clock_counts(tools: dict[str, str | None]) -> None:
    assert clock_of(NANO) == DECLARED
    remember(NANO, "estimated", 37.5)
    assert clock_of(NANO) == Clock(37.5, "estimated")
    assert str(clock_of(NANO)) == "38 MHz (estimated)"
    remember(NANO, "placed", 42.0)
    assert clock_of(NANO) == Clock(42.0, "placed")
    tools["nextpnr"] = None
    assert clock_of(NANO) == Clock(37.5, "estimated")
    tools["yosys"] = "2"
    assert clock_of(NANO) == DECLARED
    tools["yosys"] = None
    assert clock_of(NANO) == DECLARED


def test_the_fastest_placement_counts() -> None:
    for mhz in (42.0, 47.5, 45.0):
        remember(NANO, "placed", mhz)
    assert clock_of(NANO) == Clock(47.5, "placed")


def test_another_design_has_another_clock(monkeypatch: pytest.MonkeyPatch) -> None:
    remember(NANO, "estimated", 37.5)
    assert clock_of(NANO.replace({"clock_mhz": 90})) == Clock(90, "declared")
    monkeypatch.setattr(clock, "made_of", lambda design: "other gateware")
    assert clock_of(NANO) == DECLARED


def test_what_is_damaged_is_not_believed(tmp_path: Path) -> None:
    remember(NANO, "estimated", 37.5)
    (file,) = (tmp_path / "cache").rglob("clock.json")
    file.write_text("99")
    assert clock_of(NANO) == DECLARED
