"""Sweeps that run: rows, what they say, and what a second start does not ask again."""

import json
import os
import signal
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
import yaml
from tests.explore.conftest import VALUES
from tests.house.test_processes import marked, running, wait_until

from alula.cost import predict
from alula.cost.energy import JOULES_PER_BYTE, WATTS_PER_LUT
from alula.cost.resources import estimate
from alula.design import DesignError, load_design
from alula.explore import Sweep, load_sweep, sweep
from alula.explore.report import save
from alula.explore.report.tables import csv_text, flat_rows
from alula.ir.shapes import SHAPES


def test_a_row_is_what_the_models_say(small_sweep) -> None:
    found = sweep(small_sweep(search="all", clock="declared"), processes=0)
    assert (len(found.rows), len(found.impossible), found.failed) == (36, 12, [])
    assert (found.asked, found.exact, found.left_out) == (24, True, 0)
    row = next(row for row in found.rows.values() if row.found)
    design = load_design("nano").replace(row.values)
    token = predict(design, SHAPES["small"], "decode", position=31, context=32)
    answer = predict(design, SHAPES["small"], "prefill", 16, context=32)
    assert row.decode_cycles == pytest.approx(token.cycles, abs=1e-3)
    assert row.prefill_cycles == pytest.approx(answer.cycles, abs=1e-3)
    assert row.tokens_per_s == pytest.approx(design.clock_hz / token.cycles)
    assert row.ttft_s == pytest.approx(answer.cycles / design.clock_hz)
    assert (row.bytes, row.bound_cycles) == (token.bytes, token.bound)
    assert sum(row.accounts.values()) == pytest.approx(token.cycles)
    take = estimate(design)
    assert (row.lut, row.dsp, row.bram36) == (take.lut, take.dsp, take.bram36)
    assert (row.how, row.clock, row.resources) == ("modelled", "declared", "estimated")
    assert row.errors["tokens_per_s"] == pytest.approx(token.error)
    assert row.energy_j is None


def test_the_clock_is_what_the_design_reaches() -> None:
    change = {"base": "kv260", "axes": {"clock_mhz": [100, 900]}, "objectives": ["tokens_per_s"]}
    values = {key: value for key, value in VALUES.items() if key != "axes"} | change
    rows = sweep(Sweep.from_mapping(values, "s.yaml"), processes=0).rows
    assert (rows[0].mhz, rows[0].clock) == (100, "declared")
    design = load_design("kv260")
    reached = int(estimate(design).mhz)
    assert (rows[1].mhz, rows[1].clock) == (reached, "estimated")
    # Memory keeps its own time, so fewer cycles at a slower clock.
    token = predict(design.replace({"clock_mhz": reached}), SHAPES["small"], "decode", position=31)
    assert rows[1].decode_cycles == pytest.approx(token.cycles, abs=1e-3)
    seconds = token.cycles / (reached * 1e6)
    chip = WATTS_PER_LUT["ultrascale+"].value * design.part.lut
    joules = token.bytes * JOULES_PER_BYTE["ddr4"].value + chip * seconds
    assert rows[1].energy_j == pytest.approx(joules)
    assert rows[1].watts == pytest.approx(joules / seconds)


@pytest.mark.parametrize("way", ["bounds", "generations", "samples"])
def test_every_search_finds_the_front_of_a_small_space(small_sweep, way: str) -> None:
    every = sweep(small_sweep(search="all"), processes=0)
    found = sweep(small_sweep(search=way, points=200), processes=0)
    front = {json.dumps(row.values) for row in every.front}
    assert {json.dumps(row.values) for row in found.front} <= front
    assert len(found.front) == len(front)


def test_workers_say_the_same(small_sweep) -> None:
    here = sweep(small_sweep(), processes=0)
    there = sweep(small_sweep(), processes=2)
    assert here.rows == there.rows
    assert here.best == there.best


def test_a_second_start_asks_nothing_again(small_sweep, tmp_path: Path, monkeypatch) -> None:
    from alula.explore import evaluation

    place = tmp_path / "rows.sqlite"
    first = sweep(small_sweep(), store=place, processes=0)
    assert first.kept == 0
    told: list[tuple[str, int, int]] = []
    monkeypatch.setattr(evaluation, "evaluate", lambda *_: pytest.fail("a point was asked about"))
    second = sweep(
        small_sweep(name="again"), store=place, processes=0, progress=lambda *one: told.append(one)
    )
    assert second.kept == second.asked == first.asked
    assert [row.results() for row in second.front] == [row.results() for row in first.front]
    assert told[-1][0] == "points"
    assert told[-1][1] == first.asked


def test_a_point_that_goes_wrong_is_a_row(small_sweep, monkeypatch: pytest.MonkeyPatch) -> None:
    from alula.explore import evaluation

    def broken(design: Any, shape: Any, phase: str, *words: Any, **more: Any) -> Any:
        if design.sfu.lanes == 4:
            raise RuntimeError("no such thing")
        return predict(design, shape, phase, *words, **more)

    monkeypatch.setattr(evaluation, "predict", broken)
    found = sweep(small_sweep(search="all"), processes=0)
    assert len(found.failed) == 12
    assert {row.failed for row in found.failed} == {"RuntimeError: no such thing"}
    assert all(row.values["sfu.lanes"] == 2 for row in found.front)


def test_what_keeps_a_limit(small_sweep) -> None:
    every = sweep(small_sweep(search="all"), processes=0)
    rates = sorted(row.tokens_per_s or 0 for row in every.rows.values() if row.found)
    limit = rates[len(rates) // 2]
    found = sweep(small_sweep(constraints={"tokens_per_s": {"at_least": limit}}), processes=0)
    assert found.front
    assert all((row.tokens_per_s or 0) >= limit for row in found.rows.values() if row.found)
    short = [row.shortfall for row in found.impossible if row.shortfall]
    assert {one.what for one in short} == {"tokens/s", "prefill_chunk"}
    assert all(one.gap for one in short if one.what == "tokens/s")


@pytest.mark.parametrize(
    ("axes", "name"),
    [
        ({"name": ["a", "b"]}, "name"),
        ({"part.number": [None, "x"], "sfu.lanes": [2, 4]}, "part.number"),
        # At most places of the space no point can be.
        ({"part.name": ["a", "b"], "mpe.tokens": [2, 32, 64, 128]}, "part.name"),
    ],
)
def test_an_axis_that_cannot_matter(small_sweep, axes: dict[str, list[Any]], name: str) -> None:
    words = "must be left out, as none of its values changes tokens_per_s and lut or what fits"
    with pytest.raises(DesignError) as caught:
        sweep(small_sweep(axes=axes), processes=0)
    assert str(caught.value) == f"{words}, not varied: it cannot matter (axes.{name})"


class Links(HTMLParser):
    """What a page asks of others."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        for name, value in attrs:
            if tag in ("script", "link", "img", "iframe") or name == "src":
                self.found.append(f"{tag} {name} {value}")
            if name in ("href", "xlink:href") and not (value or "").startswith("#"):
                self.found.append(f"{tag} {name} {value}")


def test_files(small_sweep, tmp_path: Path) -> None:
    import pyarrow.parquet

    reference = {"name": "<theirs>", "about": "a paper", "values": {"tokens_per_s": 5, "lut": 9}}
    found = sweep(small_sweep(search="all", references=[reference]), processes=0)
    files = save(found, tmp_path / "out")
    assert [file.suffix for file in files] == [".json", ".csv", ".parquet", ".html"]
    plain = json.loads(files[0].read_text())
    assert (plain["points"], plain["impossible"], len(plain["rows"])) == (36, 12, 36)
    assert files[1].read_text() == csv_text(found)
    table = pyarrow.parquet.read_table(files[2]).to_pylist()
    rows = flat_rows(found)
    assert [row["tokens_per_s"] for row in table] == [row["tokens_per_s"] for row in rows]
    assert [row["point"] for row in table if row["front"]] == sorted(found.best)
    assert "errors.lut" in table[0]
    page = files[3].read_text()
    links = Links()
    links.feed(page)
    assert links.found == []
    assert page.count("<svg") == 4
    assert "&lt;theirs&gt;" in page
    assert "<theirs>" not in page


KILLED = """
import sys
from pathlib import Path
from tests.explore.conftest import SMALL
from tests.shapes import FAMILIES
from alula.explore import load_sweep, sweep
from alula.ir.shapes import SHAPES
SHAPES[SMALL] = FAMILIES["llama"]
if __name__ == "__main__":
    sweep(Path(sys.argv[1]), store=Path(sys.argv[2]), processes=2)
"""


@pytest.mark.slow
def test_a_sweep_that_is_killed_half_way_has_the_same_front(tmp_path: Path) -> None:
    """500 points, SIGKILL after about half of them: only the rest is asked about."""
    import sqlite3

    axes = {
        "mpe.tokens": [2, 4],
        "sfu.lanes": [2, 4],
        "buffers.stream_kib": list(range(8, 33)),
        "clock_mhz": [40, 50, 60, 70, 80],
    }
    file, place, program = (tmp_path / name for name in ("s.yaml", "rows.sqlite", "program.py"))
    file.write_text(yaml.safe_dump(VALUES | {"axes": axes, "search": "all"}))
    program.write_text(KILLED)
    asked = load_sweep(file)
    assert asked.count == 500
    mark = f"ALULA_TEST={os.getpid()}-killed"
    environment = marked(mark) | {"PYTHONPATH": os.pathsep.join(sys.path)}
    words = [sys.executable, str(program), str(file), str(place)]

    def kept() -> int:
        if not place.exists():
            return 0
        with sqlite3.connect(place, timeout=20) as connection:
            try:
                return connection.execute("SELECT count(*) FROM rows").fetchone()[0]
            except sqlite3.OperationalError:
                return 0

    with subprocess.Popen(words, env=environment) as process:
        wait_until(lambda: kept() >= 200, 300)
        process.send_signal(signal.SIGKILL)
    wait_until(lambda: not running(mark), 10)
    before = kept()
    assert 200 <= before < 500
    resumed = sweep(asked, store=place, processes=2)
    assert resumed.kept == before
    through = sweep(asked, store=tmp_path / "other.sqlite", processes=2)
    assert through.kept == 0
    assert resumed.rows == through.rows
    assert resumed.best == through.best
