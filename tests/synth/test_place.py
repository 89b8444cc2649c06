"""What is read from nextpnr's report."""

import pytest

from alula.design import load_design
from alula.synth import SynthError, place_and_route
from alula.synth.place import _fmax_mhz


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
    assert _fmax_mhz(report) == 90
    report["critical_paths"].append(path("posedge clk", "posedge gated", 8.0, 4.5))
    assert _fmax_mhz(report) == 80


def test_only_ecp5_is_placed() -> None:
    with pytest.raises(SynthError, match=r"^part.family must be ecp5 for nextpnr, not ultrascale"):
        place_and_route(load_design("kv260"))
