"""Results of synthesis and placement are kept, and found again by another clock's design."""

import json
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

from alula.design import load_design
from alula.synth import SynthError, clock, place, place_and_route
from alula.synth.netlists import cells_of, missing, netlists
from alula.synth.tools import Tool

MODULE = "module m(clk, q);\n  input clk;\n  output q;\nendmodule\n"
LUT = {"type": "LUT4", "parameters": {}, "connections": {"Z": [2]}}
NETLIST = {
    "ports": {"q": {"direction": "output", "bits": [2]}},
    "cells": {"a": LUT, "b": LUT, "m": {**LUT, "type": "other"}},
    "netnames": {"q": {"hide_name": 0, "bits": [2]}},
}


@dataclass(frozen=True)
class StandIn(Tool):
    """A tool that writes what it is told to, and remembers how often."""

    writes: tuple[str, str]
    runs: list[Path]

    def run(self, arguments: Sequence[str | Path], *, folder: Path, **_: object) -> str:
        self.runs.append(folder)
        (folder / self.writes[0]).write_text(self.writes[1])
        return ""


def stand_in(file: str, content: object) -> StandIn:
    return StandIn("tool", ("tool",), "1", (file, json.dumps(content)), [])


def harmed(cache: Path, pattern: str) -> None:
    """Make a kept result another one that reads as well."""
    (path,) = cache.glob(pattern)
    path.write_text(path.read_text().replace("3", "4"))


def test_netlists(cache: Path, caplog: pytest.LogCaptureFixture) -> None:
    cells = {
        name: {**cell, "attributes": {"src": "m.v:1"}} for name, cell in NETLIST["cells"].items()
    }
    written = {"modules": {"LUT4": {}, "m": {**NETLIST, "cells": cells, "attributes": {}}}}
    tool = stand_in("netlist.json", written)
    for _ in range(2):
        assert netlists({"m": MODULE}, "synth", tool) == {"m": NETLIST}
    assert len(tool.runs) == 1
    (path,) = cache.glob("netlists/*/netlist.json.gz")
    path.write_bytes(path.read_bytes()[:-1])
    assert netlists({"m": MODULE}, "synth", tool) == {"m": NETLIST}
    assert len(tool.runs) == 2
    assert "was damaged (netlist.json.gz is not what was written)" in caplog.messages[0]


def test_a_module_of_several_designs_is_synthesised_once(cache: Path) -> None:
    helper = "  reg \\$auto$verilog_backend.cc:2355:dump_module$%d  = 0;\nendmodule"
    one, other = (MODULE.replace("endmodule", helper % number) for number in (1, 72))
    tool = stand_in("netlist.json", {"modules": {"m": NETLIST}})
    netlists({"m": one}, "synth", tool)
    assert missing({"m": other}, "synth", tool) == []
    # Whatever its name is: `m` has a port of that name and none placed in it.
    beside = {"m": other, "clk": "module clk(a);\n  input a;\nendmodule\n"}
    assert missing(beside, "synth", tool) == ["clk"]
    assert missing({"m": other.replace("q", "p")}, "synth", tool) == ["m"]
    netlists(beside, "synth", tool, only=["m"])
    assert len(tool.runs) == 1


def test_cells_of_a_netlist() -> None:
    assert cells_of(NETLIST) == {"LUT4": 2, "other": 1}


@dataclass(frozen=True)
class Placer(Tool):
    """A nextpnr whose clock is told for each seed; it remembers the seeds."""

    mhz: Sequence[float]
    seeds: list[int]

    def run(self, arguments: Sequence[str | Path], *, folder: Path, **_: object) -> str:
        seed = int(arguments[arguments.index("--seed") + 1])
        self.seeds.append(seed)
        report = {
            "utilization": {"LUT": {"used": 3, "available": 9}},
            "fmax": {"clk": {"achieved": self.mhz[seed - 1]}},
            "critical_paths": [],
        }
        (folder / "report.json").write_text(json.dumps(report))
        return ""


def placing(monkeypatch: pytest.MonkeyPatch, *mhz: float) -> tuple[Placer, StandIn]:
    """Stand-ins for nextpnr and Yosys."""
    placer = Placer("tool", ("tool",), "1", mhz, [])
    synthesiser = stand_in("netlist.json", {})
    monkeypatch.setattr(place.floorplan, "main", lambda *_: None)
    for name, value in {
        "yosys": lambda: synthesiser,
        "nextpnr": lambda: placer,
        "scanned": lambda design: {"m": MODULE},
    }.items():
        monkeypatch.setitem(place_and_route.__globals__, name, value)
    monkeypatch.setattr(clock, "yosys", lambda: synthesiser)
    monkeypatch.setattr(clock, "nextpnr", lambda: placer)
    return placer, synthesiser


def test_placement(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    placer, synthesiser = placing(monkeypatch, 43.0)
    tiny = load_design("tiny")
    found = place_and_route(tiny, seeds=1)
    assert (found.fmax_mhz, found.seed, found.used) == (43.0, 1, {"LUT": 3})
    assert place_and_route(tiny, seeds=1) == found
    assert len(placer.seeds) == 1
    harmed(cache, "placement/*/report.json")
    assert place_and_route(tiny, seeds=1) == found
    assert len(placer.seeds) == 2
    # What nextpnr aims at is another clock; the netlist is the same.
    place_and_route(tiny.replace({"clock_mhz": 33}))
    assert len(placer.seeds) == 3
    assert len(synthesiser.runs) == 1


def test_seeds_are_tried_until_one_reaches_the_clock(
    cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    placer, synthesiser = placing(monkeypatch, 61.0, 72.0, 70.0, 81.0)
    tiny = load_design("tiny")
    found = place_and_route(tiny, seeds=3)
    assert (found.fmax_mhz, found.seed, placer.seeds) == (72.0, 2, [1, 2, 3])
    assert clock.clock_of(tiny) == clock.Clock(72.0, "placed")
    found = place_and_route(tiny, seeds=4)
    assert (found.fmax_mhz, found.seed, placer.seeds[3:]) == (81.0, 4, [4])
    assert clock.clock_of(tiny) == clock.Clock(81.0, "placed")
    # What was placed needs no netlist any more.
    shutil.rmtree(cache / "scanned")
    assert place_and_route(tiny) == found
    assert len(synthesiser.runs) == 1
    found = place_and_route(tiny.replace({"clock_mhz": 72}))
    assert (found.fmax_mhz, found.seed, placer.seeds[4:]) == (72.0, 2, [1, 2])
    with pytest.raises(SynthError, match=r"^seeds must be at least 1, not 0$"):
        place_and_route(tiny, seeds=0)
