"""What is read from nextpnr's report."""

import json
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

from alula.design import Design, load_design
from alula.synth import SynthError, place_and_route, place_modules, yosys
from alula.synth.place import _Stages, fmax_mhz
from alula.synth.place_modules import between_registers


def path(start: str, end: str, *delays: float) -> dict:
    return {"from": start, "to": end, "path": [{"delay": delay} for delay in delays]}


def test_the_slowest_clock_or_path_between_clocks_counts() -> None:
    report = {
        "fmax": {"clk": {"achieved": 90.0}, "gated": {"achieved": 120.0}},
        "critical_paths": [
            path("posedge clk", "posedge clk", 5.0, 6.0),
            path("<async>", "posedge clk", 40.0),
        ],
    }
    assert fmax_mhz(report) == 90
    report["critical_paths"].append(path("posedge clk", "posedge gated", 8.0, 4.5))
    assert fmax_mhz(report) == 80


def test_only_ecp5_is_placed() -> None:
    for place in (place_and_route, place_modules):
        with pytest.raises(SynthError, match=r"^part.family must be ecp5 for nextpnr, not ultra"):
            place(load_design("kv260"))


place_modules_module = sys.modules["alula.synth.place_modules"]
"""The package has the function under the same name."""

PRINTED = """\
Info: Logic utilisation before packing:
Info: Packing carries...
Info: Creating initial analytic placement for 46679 cells, random placement wirelen = 5974966.
Info:     at initial placer iter 0, wirelen = 16454
Info: Running simulated annealing placer for refinement.
Info: Routing globals...
Info: Running router2...
"""


def test_stages_are_told_as_they_begin() -> None:
    told: list[tuple[str, int, int]] = []
    stages = _Stages(lambda *step: told.append(step))
    for line in PRINTED.splitlines():
        stages.hear(line)
    stages.end()
    names = ("pack", "place", "refine the placement", "route")
    assert told == [(name, done, 1) for name in names for done in (0, 1)]


INNER = """\
module Inner(clk, rst, a, y, z);
  input clk;
  input rst;
  input [3:0] a;
  output [2:0] y;
  output z;
  assign y = a[2:0];
  assign z = a[3];
endmodule
"""
OUTER = """\
module Outer(clk, rst, x, y);
  input clk;
  input rst;
  input [3:0] x;
  output [3:0] y;
  wire [2:0] low;
  wire high;
  assign y = { high, ~low };
  Inner inner (
    .clk(clk),
    .rst(rst),
    .a(~x),
    .y(low),
    .z(high)
  );
endmodule
"""


MODULES = {"Outer": OUTER, "Inner": INNER}


def test_every_module_is_placed_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is placed is the module and registers; its figure is the slowest of its report."""
    nano, placed = load_design("nano"), []

    def routed(design: Design, texts: Mapping[str, str], progress: object) -> dict:
        (name,) = (name for name in MODULES if texts.get(name) == MODULES[name])
        assert texts["scan"].startswith("module scan(")
        placed.append(name)
        return {"fmax": {"clk": {"achieved": 90.123 + len(name)}}, "critical_paths": []}

    monkeypatch.setattr(place_modules_module, "verilog", lambda design: MODULES)
    monkeypatch.setattr(place_modules_module, "routed", routed)
    monkeypatch.setattr(place_modules_module, "tools_used", lambda: "Yosys 1, nextpnr 2")
    told: list[tuple[str, int, int]] = []
    found = place_modules(nano, lambda *step: told.append(step), workers=2)
    assert found.as_dict() == {
        "tool": "Yosys 1, nextpnr 2",
        "fmax_mhz": {"Outer": 95.12, "Inner": 95.12},
    }
    assert sorted(placed) == ["Inner", "Outer"]
    assert told[-3:] == [("place and route", done, 2) for done in range(3)]


def test_a_module_alone_keeps_its_paths_and_no_other_s(tmp_path: Path) -> None:
    """Registers are in the place of shared modules inside it, and nothing of them is removed."""
    try:
        tool = yosys()
    except SynthError as error:
        pytest.skip(str(error))
    texts = between_registers("Outer", MODULES)
    assert set(texts) >= {"scan", "Outer", "Inner"}
    for name, text in texts.items():
        (tmp_path / f"{name}.v").write_text(text)
    files = " ".join(f"{name}.v" for name in texts)
    script = f"read_verilog {files}; synth_ecp5 -top scan -json netlist.json"
    tool.run(["-q", "-p", script], folder=tmp_path, limit_s=300)
    cells = json.loads((tmp_path / "netlist.json").read_text())["modules"]["scan"]["cells"]
    registers = [cell for cell in cells.values() if cell["type"] == "TRELLIS_FF"]
    # Of the ports of Outer 4 and 4, of those of Inner 4, rst, and 4; the reset inside.
    assert len(registers) == 8 + 9 + 1
