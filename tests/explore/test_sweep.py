"""Sweeps that run."""

import csv
import io
from dataclasses import asdict
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import yaml

from alula.chips import Use
from alula.explore.point import evaluate
from alula.explore.space import Sweep
from alula.explore.sweep import run_sweep
from alula.explore.table import csv_text, summary

QUICK = Path(__file__).parents[2] / "designs" / "sweeps" / "quick.yaml"
VALUES: dict[str, Any] = yaml.safe_load(QUICK.read_text())


def test_what_cannot_be_built_is_a_row_with_its_reason() -> None:
    axes = {"mpe.tokens": [3], "context_max": [32, 33]}
    told: list[tuple[str, int, int]] = []
    sweep = Sweep.from_mapping(VALUES | {"axes": axes}, "s.yaml")
    rows = run_sweep(sweep, processes=1, progress=lambda *words: told.append(words))
    assert [dict(row.values) for row in rows] == [
        {"mpe.tokens": 3, "context_max": 32},
        {"mpe.tokens": 3, "context_max": 33},
    ]
    for row in rows:
        assert row.reason
        assert row.reason.startswith("must be ")
        assert row.decode_cycles is row.lut is row.matches_model is None
    assert told == [("points", number, 2) for number in range(3)]


def test_a_model_that_does_not_fit_is_a_reason() -> None:
    fixed = VALUES["fixed"] | {"buffers.vector_kib": 2}
    change = {"fixed": fixed, "axes": {"mpe.tokens": [2]}}
    (row,) = run_sweep(Sweep.from_mapping(VALUES | change, "s.yaml"), processes=1)
    assert row.design_hash
    assert row.reason
    assert row.decode_cycles is None


def test_what_a_point_takes_is_what_the_synthesis_found(monkeypatch: pytest.MonkeyPatch) -> None:
    total = Use(lut=11, ff=12, dsp=13, bram36=14, uram=15)
    found = SimpleNamespace(total=total, shares={"lut": 0.25, "dsp": 0.5}, fits=True)
    monkeypatch.setattr("alula.explore.point.synthesise", lambda *_, **__: found)
    monkeypatch.setattr("alula.explore.point._simulate", lambda *_: None)
    (point,) = Sweep.from_mapping(VALUES | {"axes": {"mpe.tokens": [2]}}, "s.yaml").points
    row = evaluate(point)
    assert row.reason is None
    assert (row.lut, row.ff, row.dsp, row.bram36, row.uram, row.share) == (11, 12, 13, 14, 15, 0.5)
    (line,) = csv.DictReader(io.StringIO(csv_text([row])))
    assert {name: line[name] for name in ("lut", "ff", "dsp", "bram36", "uram")} == {
        name: str(count) for name, count in asdict(total).items()
    }
    head, (cells,) = summary([row])
    named = {"LUT": "11", "DSP": "13", "BRAM36": "14", "URAM": "15", "share": "50%"}
    assert named.items() <= dict(zip(head, cells, strict=True)).items()


@pytest.mark.rtl
@pytest.mark.slow
def test_a_point_is_simulated() -> None:
    change = {
        "base": "nano",
        "fixed": {},
        "axes": {"mpe.tokens": [2]},
        "layer": {"model": "gpt2", "hidden_size": 64, "heads": 1, "kv_heads": 1}
        | {"intermediate_size": 64},
        "workload": {"decode_at": 5, "prefill": 3},
    }
    (point,) = Sweep.from_mapping(VALUES | change, "s.yaml").points
    row = evaluate(point)
    assert row.matches_model is True
    assert row.decode_cycles
    assert row.prefill_cycles
    assert row.prefill_cycles > row.decode_cycles
    assert row.decode_us == row.decode_cycles / 80
    assert row.source == "simulated"
    assert row.reason is None or "yosys" in row.reason
