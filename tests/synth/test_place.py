"""What is read from nextpnr's report."""

import pytest

from alula.design import load_design
from alula.synth import SynthError, place_and_route
from alula.synth.place import _fmax_mhz, _Stages


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
