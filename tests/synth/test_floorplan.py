"""Multipliers in rows, in the order of the hierarchy."""

import json
import re
import runpy
import sys
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from alula.synth import floorplan

SITES = {"12": 28, "25": 28, "45": 72, "85": 156}


def netlist(*names: str) -> dict[str, Any]:
    cells = {name: {"type": "MULT18X18D", "attributes": {}} for name in names}
    cells["core.other"] = {"type": "LUT4", "attributes": {}}
    return {
        "modules": {
            "MULT18X18D": {"attributes": {"blackbox": "1"}, "cells": {}},
            "scan": {"attributes": {"top": "1"}, "cells": cells},
        }
    }


def placed(found: dict[str, Any]) -> dict[str, str]:
    cells = found["modules"]["scan"]["cells"]
    return {name: cell["attributes"]["BEL"] for name, cell in cells.items() if cell["attributes"]}


@pytest.mark.parametrize(("size", "count"), SITES.items())
def test_every_multiplier_has_a_place_of_its_own(size: str, count: int) -> None:
    names = [f"core.chain.multiplier_{number}.dsp" for number in range(count)]
    found = netlist(*reversed(names))
    assert floorplan.floorplan(found, size) == count
    bels = placed(found)
    assert list(bels) == names[::-1]
    assert len(set(bels.values())) == count
    # A neighbour in the chain is next to it, or a block or a row further.
    at = [tuple(map(int, re.findall(r"\d+", bels[name])[:2])) for name in names]
    for (x, y), (next_x, next_y) in pairwise(at):
        assert abs(next_x - x) <= 16, (size, x, next_x)
        assert next_y == y or abs(next_x - x) <= 5


def test_what_fills_a_block_begins_one() -> None:
    names = ["a.one", *(f"b.{number}" for number in range(4)), *(f"c.{n}" for n in range(8))]
    found = netlist(*names)
    assert floorplan.floorplan(found, "85") == 13
    bels = placed(found)
    assert bels["a.one"] == "X4/Y58/MULT18_0"
    assert [bels[f"b.{number}"] for number in range(4)] == [
        "X13/Y58/MULT18_0", "X14/Y58/MULT18_1", "X17/Y58/MULT18_4", "X18/Y58/MULT18_5"
    ]  # fmt: skip
    assert bels["c.0"] == "X22/Y58/MULT18_0"


def test_blocks_are_not_kept_whole_where_there_is_no_room() -> None:
    found = netlist("a.one", *(f"b.{number}" for number in range(27)))
    assert floorplan.floorplan(found, "25") == 28
    assert placed(found)["b.0"] == "X5/Y13/MULT18_1"


def test_too_many_are_left_to_nextpnr_s_message() -> None:
    found = netlist(*(f"a.{number}" for number in range(29)))
    assert floorplan.floorplan(found, "12") == 0
    assert placed(found) == {}


def test_the_file_runs_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    place = tmp_path / "netlist.json"
    place.write_text(json.dumps(netlist("a.one")))
    monkeypatch.setattr(sys, "argv", ["floorplan.py", "45", str(place)])
    runpy.run_path(floorplan.__file__, run_name="__main__")
    assert placed(json.loads(place.read_text())) == {"a.one": "X4/Y46/MULT18_0"}
