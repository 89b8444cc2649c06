"""Rows that are kept as they come: what a second start finds, and what it does not believe."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from alula.explore import store as stores
from alula.explore import sweep as sweeps
from alula.explore.row import Row
from alula.explore.space import Point, Sweep
from alula.explore.store import FILE, StoreError, key_of, opened
from alula.explore.sweep import run_sweep

QUICK = Path(__file__).parents[2] / "designs" / "sweeps" / "quick.yaml"
VALUES: dict[str, Any] = yaml.safe_load(QUICK.read_text())
AXES = {"axes": {"mpe.tokens": [1, 2, 4]}}


def space(**change: Any) -> Sweep:
    return Sweep.from_mapping(VALUES | AXES | change, "s.yaml")


def done(point: Point, **found: Any) -> Row:
    return Row(point.values, design_hash="x", lut=7, share=0.25, decode_us=1 / 3, **found)


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """Points that are run, in this process; one that has 4 tokens ends the sweep."""
    points: list[dict[str, Any]] = []

    def each(function: Callable[[Point], Row], items: list[Point], count: int) -> Any:
        for number, point in enumerate(items):
            if point.values["mpe.tokens"] == 4:
                raise KeyboardInterrupt
            points.append(dict(point.values))
            reason = "must be\nmore" if point.values["mpe.tokens"] == 1 else None
            yield number, Row(point.values, reason=reason) if reason else done(point)

    monkeypatch.setattr(sweeps, "in_processes", each)
    return points


def test_a_second_start_goes_on(tmp_path: Path, asked: list[dict[str, Any]]) -> None:
    for _ in range(2):
        with opened(tmp_path / "a" / "out") as store, pytest.raises(KeyboardInterrupt):
            run_sweep(space(), store=store)
    assert asked == [{"mpe.tokens": 1}, {"mpe.tokens": 2}, {"mpe.tokens": 1}]
    asked.clear()
    two = space(axes={"mpe.tokens": [2]}, name="other")
    told: list[tuple[str, int, int]] = []
    with opened(tmp_path / "a" / "out") as store:
        rows = run_sweep(two, store=store, progress=lambda *words: told.append(words))
    assert rows == [done(two.points[0])]
    assert asked == []
    assert told == [("points", 1, 1)]


@pytest.mark.parametrize(
    "change",
    [
        {"workload": {"decode_at": 33, "prefill": 8}},
        {"layer": VALUES["layer"] | {"intermediate_size": 544}},
        {"fixed": VALUES["fixed"] | {"clock_mhz": 79}},
        {"base": "nano"},
    ],
)
def test_another_question_has_another_key(change: dict[str, Any]) -> None:
    before, after = space(), space(**change)
    keys = [key_of(sweep.points[1]) for sweep in (before, after)]
    assert keys[0] != keys[1]


def test_another_tool_has_another_key(monkeypatch: pytest.MonkeyPatch) -> None:
    point = space().points[1]
    keys = {key_of(point)}
    for found in (("code", "Yosys 1"), ("code", "Yosys 2"), ("other code", "Yosys 1")):
        monkeypatch.setattr(stores, "_makers", lambda found=found: found)
        keys.add(key_of(point))
    assert len(keys) == 4


@pytest.fixture(scope="module")
def stored(tmp_path_factory: pytest.TempPathFactory) -> tuple[list[Point], bytes]:
    """Points, and a file with a row of each."""
    points, folder = space().points, tmp_path_factory.mktemp("out")
    with opened(folder) as store:
        for point in points:
            store.add(point, done(point))
    return points, (folder / FILE).read_bytes()


@settings(max_examples=50, deadline=None)
@given(place=st.integers(0, 10_000), bit=st.integers(0, 7), cut=st.booleans())
def test_a_damaged_row_is_none(
    tmp_path_factory: pytest.TempPathFactory,
    stored: tuple[list[Point], bytes],
    place: int,
    bit: int,
    cut: bool,
) -> None:
    """Whatever bit is wrong, or wherever the end was lost, a row is right or is not there."""
    folder = tmp_path_factory.mktemp("out")
    points, written = stored
    data = bytearray(written)
    place %= len(data)
    if cut:
        del data[place:]
    else:
        data[place] ^= 1 << bit
    (folder / FILE).write_bytes(data)
    try:
        with opened(folder) as store:
            assert all(store.find(point) in (None, done(point)) for point in points)
            store.add(points[0], done(points[0]))
        with opened(folder) as store:
            assert store.find(points[0]) == done(points[0])
    except StoreError:
        assert place < data.find(b"\n") + 1
        assert not cut


def test_a_folder_of_the_users_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("mine")
    with pytest.raises(StoreError, match=r"^--out must be a new or empty folder, or one with"):
        opened(tmp_path).__enter__()
    (tmp_path / FILE).write_text('{"key": "mine"}\n')
    with pytest.raises(StoreError, match=r"rows.jsonl must be the rows of a sweep, not something"):
        opened(tmp_path).__enter__()
    assert (tmp_path / FILE).read_text() == '{"key": "mine"}\n'
    (tmp_path / FILE).write_text("a list of rows without an end")
    with pytest.raises(StoreError, match=r"rows.jsonl must be the rows of a sweep, not something"):
        opened(tmp_path).__enter__()
    assert (tmp_path / FILE).read_text() == "a list of rows without an end"


def test_one_at_a_time(tmp_path: Path) -> None:
    with opened(tmp_path), pytest.raises(StoreError, match=r"^one sweep at a time must work in"):
        opened(tmp_path).__enter__()


def test_lines_are_json(tmp_path: Path) -> None:
    point = space().points[1]
    with opened(tmp_path) as store:
        store.add(point, done(point))
    mark, line = map(json.loads, (tmp_path / FILE).read_text().splitlines())
    assert mark == {"alula": "rows of a sweep", "version": 1}
    assert line["row"]["decode_us"] == 1 / 3
