"""Sweeps that run."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from alula.explore.point import evaluate
from alula.explore.space import Sweep
from alula.explore.sweep import run_sweep

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
