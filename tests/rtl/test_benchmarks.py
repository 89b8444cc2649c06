"""The measurements of the gateware, on a small model and a small design."""

import json
from pathlib import Path
from typing import Any

import pytest
from benchmarks import percycle, prefill, rtl, stream, table

NANO = "nano"


@pytest.mark.slow
def test_a_prefill_and_two_tokens(small_model: Path) -> None:
    found = rtl.measure(str(small_model), NANO, context=64)
    assert (found["matches_model"], found["bytes_beyond"]) == (True, 0)
    assert [(run["phase"], run["tokens"]) for run in found["runs"]] == [
        ("prefill", 16),
        ("decode", 1),
        ("decode", 1),
    ]
    assert found["cold_build_s"] > 5


def test_efficiencies_by_context(small_model: Path) -> None:
    found = stream.measure(str(small_model), NANO, (32, 64))
    assert 0 < found["dram_efficiency_64"] < found["stream_efficiency_64"] < 1
    assert found["cycles_per_token_64"] > found["cycles_per_token_32"]


def test_share_of_the_peak(small_model: Path) -> None:
    found = prefill.measure(str(small_model), NANO, 24)
    assert 0 < found["share_of_peak"] < 1
    assert found["share_of_peak"] == found["macs_per_cycle"] / 64


@pytest.mark.slow
def test_python_in_every_cycle() -> None:
    found = percycle.measure(NANO)
    assert found["runner_ratio"] > found["bench_ratio"] > 2
    assert found["cycles"] > 100_000


def test_what_was_not_measured_is_not_in_the_table(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    results: dict[str, Any] = json.loads(table.RESULTS.read_text())
    results.pop("rtl", None)
    place = tmp_path / "bench.json"
    monkeypatch.setattr(table, "RESULTS", place)
    place.write_text(json.dumps(results))
    assert "cold build" not in table.table_text()
    place.write_text(json.dumps(results | {"rtl": {**_RTL, "cold_build_s": 106.0}}))
    assert "| RTL: cold build | at most 360 s | 106 s |" in table.table_text()


_RTL = {"matches_model": True, "bytes_beyond": 0, "sim_cycles_per_s": 60_000.0}
