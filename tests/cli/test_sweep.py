"""`alula sweep`: what it prints and writes, and what it refuses."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import yaml
from tests.house.test_processes import marked, running, wait_until

QUICK = Path(__file__).parents[2] / "designs" / "sweeps" / "quick.yaml"


def sweep_file(folder: Path, **change: Any) -> Path:
    values = yaml.safe_load(QUICK.read_text()) | {"context": 64, "prompt": 16} | change
    file = folder / "s.yaml"
    file.write_text(yaml.safe_dump(values))
    return file


def test_rows_and_files(alula, tmp_path: Path) -> None:
    axes = {"mpe.tokens": [1, 2], "sfu.lanes": [2, 4]}
    words = ("sweep", sweep_file(tmp_path, axes=axes), "--processes", 1)
    result = alula(*words, "--json", "--out", tmp_path / "out", "--store", tmp_path / "rows")
    assert (result.code, result.errors) == (0, [])
    found = result.json
    assert (found["points"], found["asked"], found["impossible"], found["failed"]) == (4, 2, 2, 0)
    short = found["rows"][0]["shortfall"]
    assert (short["what"], short["demand"]) == ("mpe.tokens", "1")
    row = found["rows"][2]
    assert (row["how"], row["resources"]) == ("modelled", "estimated")
    assert 0 < row["errors"]["decode_cycles"] < 0.03
    names = {f"quick.{kind}" for kind in ("json", "csv", "parquet", "html")}
    assert {path.name for path in (tmp_path / "out").iterdir()} == names
    again = alula(*words, "--store", tmp_path / "rows")
    assert again.code == 0
    assert "2 of 4 points by the cycle model, 2 of them kept from before" in again.out
    assert (
        "2 points cannot be:\n  2 for mpe.tokens; the nearest: mpe.tokens: 1 against" in again.out
    )


def test_fewer_points(alula, tmp_path: Path) -> None:
    words = ("sweep", sweep_file(tmp_path), "--points", 3, "--processes", 1, "--json")
    result = alula(*words, "--store", tmp_path / "rows")
    assert (result.code, result.json["asked"]) == (0, 3)


@pytest.mark.parametrize(
    ("change", "line"),
    [
        (
            {"axes": {"mpe.tokens": [1, 3]}},
            "no point of quick can be: mpe.tokens: 1 against 2, 4, 8, 16 or 32; mpe.tokens must be",
        ),
        (
            {"constraints": {"tokens_per_s": {"at_least": 1000}}, "axes": {"sfu.lanes": [2, 4]}},
            "no point of quick can be; the nearest of 2, sfu.lanes ",
        ),
        ({"axes": {"mpe.token": [2]}}, "must be a field of a design (tokens, "),
        ({"axes": {"speed": [2]}}, "must be a field of a design (name, part, clock_mhz, "),
        ({"axes": {}}, "must be at least 1 long"),
        ({"model": "smolm2-135m"}, "the model must be a GGUF file, a folder, "),
        ({"recipe": "w5"}, "must be a recipe file, or "),
        ({"base": "kv270"}, "must be a design file, or kv260"),
        ({"axes": {"name": ["a", "b"]}}, "must be left out, as none of its values changes "),
        ({"objectives": ["energy_j"], "axes": {"sfu.lanes": [2]}}, "energy_j must be known of"),
        ({"objectives": ["perplexity"]}, "must be measured of every model and recipe (perplex"),
    ],
)
def test_refusals(alula, tmp_path: Path, change: dict[str, Any], line: str) -> None:
    words = ("sweep", sweep_file(tmp_path, **change), "--processes", 1)
    result = alula(*words, "--store", tmp_path / "rows")
    assert (result.code, result.out) == (2, "")
    (error,) = result.errors
    assert error.startswith(f"alula: {line}")


def test_a_limit_that_nobody_keeps_has_a_gap_and_a_remedy(alula, tmp_path: Path) -> None:
    change = {"constraints": {"tokens_per_s": {"at_least": 1000}}, "axes": {"sfu.lanes": [2, 4]}}
    words = ("sweep", sweep_file(tmp_path, **change), "--processes", 1, "--json")
    result = alula(*words, "--store", tmp_path / "rows")
    assert result.code == 2
    (error,) = result.errors
    assert "tokens/s: " in error
    assert " against 1,000 1/s, a gap of " in error
    assert error.endswith(
        "more bandwidth (memory.beat_bytes, memory.channels), or a recipe of fewer bits"
    )
    assert len(result.json["rows"]) == 2


def test_a_foreign_store(alula, tmp_path: Path) -> None:
    (tmp_path / "mine").write_text("a thesis, not a database, and of some length" * 50)
    for place, words in (
        (tmp_path / "mine", f"{tmp_path / 'mine'} must be a store of sweeps, not something else: "),
        (tmp_path, "is a directory: "),
        ("/proc/nowhere/rows", "no such file or directory: /proc/nowhere"),
    ):
        result = alula("sweep", "quick", "--store", place, "--processes", 1)
        assert (result.code, result.out) == (2, "")
        assert result.errors[0].startswith(f"alula: {words}")


def test_no_such_sweep(alula) -> None:
    result = alula("sweep", "quik")
    assert (result.code, result.out) == (2, "")
    assert "did you mean quick?" in result.errors[0]


def test_nothing_answers(alula) -> None:
    result = alula("sweep", "quick", "--scheduler", "here")
    assert (result.code, result.out) == (2, "")
    start = "alula: --scheduler must be the address of a Dask scheduler, not here: "
    assert result.errors[0].startswith(start)


def test_ctrl_c_keeps_what_there_is(tmp_path: Path) -> None:
    """A shell's script starts what is in the background with Ctrl-C ignored; kill -INT ends it."""
    axes = {"buffers.stream_kib": list(range(16, 48)), "clock_mhz": list(range(40, 80))}
    file = sweep_file(tmp_path, axes=axes, search="all")
    store = tmp_path / "rows"
    words = [sys.executable, "-m", "alula", "sweep", str(file), "--store", str(store)]
    mark = f"ALULA_TEST={os.getpid()}-script"
    with subprocess.Popen(
        [*words, "--processes", "1"],
        env=marked(mark) | {"ALULA_PROGRESS": "off"},
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_IGN),
    ) as process:
        wait_until(lambda: store.exists() and len(running(mark)) > 2, 120)
        begun = time.monotonic()
        os.killpg(process.pid, signal.SIGINT)
        _, errors = process.communicate(timeout=60)
        assert time.monotonic() - begun < 10
    assert process.returncode == 2
    line = f"alula: interrupted; {store} has the points so far, and the same command goes on\n"
    assert errors == line
    wait_until(lambda: not running(mark), 2)


def test_time_left_is_told(tmp_path: Path) -> None:
    file = sweep_file(tmp_path, axes={"buffers.stream_kib": list(range(16, 40))}, search="all")
    words = [sys.executable, "-m", "alula", "sweep", str(file), "--store", str(tmp_path / "rows")]
    environment = {**os.environ, "ALULA_PROGRESS": "lines"}
    done = subprocess.run(
        [*words, "--processes", "1", "--json"], env=environment, capture_output=True, text=True
    )
    assert done.returncode == 0
    assert "alula: points " in done.stderr
    assert json.loads(done.stdout)["asked"] == 24
