"""Calibration, the benchmark command and this machine's devices: shapes of results, not speeds."""

import json
from pathlib import Path

import pytest
import yaml
from benchmarks.gpu_page import results

from alula.runtime import PlanError, RunError, devices, plan
from alula.runtime.calibration import calibrate


def test_a_calibrated_device_can_be_planned_with(alula, small_model: Path, tmp_path: Path) -> None:
    out = tmp_path / "cpu.yaml"
    words = ["calibrate", str(small_model), "--target", "torch-fp32", "--lengths", "4,12"]
    told = alula(*words, "--out", str(out), "--json")
    assert told.code == 0, told.errors
    (device,) = json.loads(told.out)["devices"].values()
    assert device["target"] == "torch-fp32:cpu"
    points = device["profile"]["points"]
    places = {(one["phase"], one.get("unit", "model"), one["length"]) for one in points}
    assert len(places) == len(points) == 2 * 2 * 3
    assert all(one["seconds"] > 0 for one in points)
    assert yaml.safe_load(out.read_text()) == json.loads(told.out)
    found = plan(str(small_model), out, prompt=8, new=3)
    assert found.map == "*=torch-fp32:cpu"
    assert {one.origin for one in found.placement} == {"measured"}
    assert any("interpolated between 4 and 12" in note for note in found.notes)
    layer, head = (
        next(one["seconds"] for one in points if (one["phase"], one["unit"]) == ("decode", unit))
        for unit in ("layer", "head")
    )
    assert found.decode_s > 3 * layer * 0.1 + head * 0.1


def test_the_table_that_ships_plans_and_is_the_one_whose_error_is_told() -> None:
    found = plan("smollm2-135m", "h200", prompt=128, new=64)
    assert found.map == "*=torch-bf16:cuda"
    assert {one.origin for one in found.placement} == {"measured"}
    assert "gpu: decode at 159.5 tokens interpolated between 128 and 255" in found.notes
    held_out = results()["calibration"]["held_out"]
    assert held_out["largest_error"] < 0.091
    for row in held_out["rows"]:
        pinned = plan("smollm2-135m", "h200", prompt=int(row["length"]), new=1, pin="*=gpu")
        seconds = pinned.prefill_s if row["phase"] == "prefill" else pinned.decode_s
        assert seconds == pytest.approx(row["predicted_s"], rel=5e-4)


@pytest.mark.parametrize(
    ("target", "lengths", "words"),
    [
        ("accel", [4, 8], "what is timed must be a target of torch, not accel"),
        ("torch-fp32", [4], "there must be at least 2 lengths, not 1"),
        ("torch-fp32", [0, 4], "a length must be 1 to 255, not 0"),
        ("torch-fp64", [4, 8], "a target must be accel, or torch"),
        ("torch-fp32:none", [4, 8], "torch's device must be one of this machine, not none"),
    ],
)
def test_what_cannot_be_calibrated(
    small_model: Path, target: str, lengths: list[int], words: str
) -> None:
    with pytest.raises(RunError, match=words):
        calibrate(small_model, target, lengths)


def test_bench_has_a_row_for_each_map_and_test(alula, small_model: Path) -> None:
    words = ["bench", str(small_model), "-p", "6", "-n", "3", "-r", "2"]
    told = alula(*words, "--map", "*=torch-fp32", "--map", "*=torch", "--json")
    assert told.code == 0, told.errors
    rows = json.loads(told.out)
    assert [(row["map"], row["test"]) for row in rows] == [
        ("*=torch-fp32", "pp6"),
        ("*=torch-fp32", "tg3"),
        ("*=torch", "pp6"),
        ("*=torch", "tg3"),
    ]
    assert all(row["tokens_per_s"] > 0 and row["clock"] == "wall" for row in rows)
    table = alula(*words)
    assert table.out.splitlines()[0].split() == ["model", "params", "map", "test", "t/s"]
    assert alula(*words, "--map", "*=gpu").code == 2


def test_this_machines_devices() -> None:
    found = devices(accel="kv260", gpu="auto", cpu=True)
    assert {"cpu", "accel"} <= set(found.devices)
    assert found.devices["cpu"].bandwidth_gbs
    assert devices("flightllm").name == "flightllm"
    with pytest.raises(PlanError, match="must be those of a file or of this machine, not both"):
        devices("flightllm", cpu=True)
    with pytest.raises(PlanError, match="must be at least one of"):
        devices()
