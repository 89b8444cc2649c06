"""`alula sweep`: rows without a simulation, files, and what it refuses."""

import csv
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


def sweep_file(folder: Path, change: dict[str, Any]) -> Path:
    file = folder / "s.yaml"
    file.write_text(yaml.safe_dump(yaml.safe_load(QUICK.read_text()) | change))
    return file


def test_rows_and_files(alula, tmp_path: Path) -> None:
    file = sweep_file(tmp_path, {"axes": {"mpe.tokens": [3]}})
    names = {"rows.jsonl", "quick.json", "quick.csv", "quick.png"}
    for _ in range(2):
        result = alula("sweep", file, "--json", "--out", tmp_path / "out")
        assert (result.code, result.errors) == (2, ["alula: all 1 points of quick failed"])
        (row,) = result.json["rows"]
        assert result.json["failed"] == 1
        assert row["mpe.tokens"] == 3
        assert row["reason"].startswith("must be 2, 4, 8, 16 or 32, not 3 ")
        assert {path.name for path in (tmp_path / "out").iterdir()} == names


def test_whole_reasons(alula, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Some points work, some fail with more to say than a line."""
    from alula.explore import sweep as sweeps
    from alula.explore.row import Row

    reason = "model is not supported:\n  what   must be\n  heads  " + "even, " * 40 + "and few"

    def each(function: object, points: list[Any], count: int) -> Any:
        yield 1, Row(points[1].values, reason=reason)
        yield 0, Row(points[0].values, share=0.5)

    monkeypatch.setattr(sweeps, "in_processes", each)
    file = sweep_file(tmp_path, {"axes": {"mpe.tokens": [2, 4]}})
    result = alula("sweep", file, "--json", "--out", tmp_path / "out")
    assert (result.code, result.errors, result.json["failed"]) == (0, [], 1)
    assert [row["reason"] for row in result.json["rows"]] == [None, reason]
    with (tmp_path / "out" / "quick.csv").open() as lines:
        assert [line["reason"] for line in csv.DictReader(lines)] == ["", reason]
    shown = alula("sweep", file, "--out", tmp_path / "other")
    assert shown.code == 0
    assert "model is not supported: / what must be / heads even, even, " in shown.out
    assert "even, ...\n" in shown.out.replace("eve ...", "even, ...").replace("ev ...", "even, ...")
    assert "\n1 of 2 points failed\n" in shown.out
    assert shown.out.endswith(f"the whole reasons are in {tmp_path / 'other'}\n")


def test_out_is_tried_first(alula, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from alula.explore import sweep as sweeps

    monkeypatch.setattr(sweeps, "run_sweep", lambda *_, **__: pytest.fail("a point was run"))
    (tmp_path / "mine").write_text("")
    for out, words in (
        ("/proc/nowhere/out", "no such file or directory: /proc/nowhere"),
        (tmp_path, "--out must be a new or empty folder, or one with the rows of a sweep, not"),
        (tmp_path / "mine", "file exists: "),
    ):
        result = alula("sweep", "quick", "--out", out)
        assert (result.code, result.out) == (2, "")
        assert result.errors[0].startswith(f"alula: {words}")


def test_ctrl_c_keeps_what_there_is(alula, tmp_path: Path, monkeypatch) -> None:
    from alula.explore import sweep as sweeps

    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(sweeps, "in_processes", interrupted)
    out = tmp_path / "out"
    result = alula("sweep", "quick", "--out", out)
    line = f"alula: interrupted; {out} has the rows so far, and the same command goes on"
    assert (result.code, result.out, result.errors) == (2, "", [line])
    assert [path.name for path in out.iterdir()] == ["rows.jsonl"]


def test_ctrl_c_of_a_script(tmp_path: Path) -> None:
    """A shell's script starts what is in the background with Ctrl-C ignored; kill -INT ends it."""
    out = tmp_path / "out"
    words = [sys.executable, "-m", "alula", "sweep", "quick", "--out", str(out)]
    mark = f"ALULA_TEST={os.getpid()}-script"
    with subprocess.Popen(
        words,
        env=marked(mark),
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_IGN),
    ) as process:
        wait_until(lambda: (out / "rows.jsonl").exists() and len(running(mark)) > 2, 120)
        begun = time.monotonic()
        os.killpg(process.pid, signal.SIGINT)
        _, errors = process.communicate(timeout=60)
        assert time.monotonic() - begun < 5
    assert process.returncode == 2
    assert (
        errors == f"alula: interrupted; {out} has the rows so far, and the same command goes on\n"
    )
    wait_until(lambda: not running(mark), 2)


def test_no_such_sweep(alula) -> None:
    result = alula("sweep", "quik")
    line = "must be a sweep file, or quick, not a missing one (no such file: quik; did you mean qui"
    assert (result.code, result.out) == (2, "")
    assert result.errors[0].startswith(f"alula: {line}")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"axes": {"mpe.token": [2]}}, "must be a field of a design (tokens, "),
        ({"axes": {}}, "must be at least 1 long"),
        ({"workload": {}}, "must be decode_at, prefill or both"),
    ],
)
def test_refusals(alula, tmp_path: Path, change: dict[str, Any], words: str) -> None:
    result = alula("sweep", sweep_file(tmp_path, change), "--json", "--out", tmp_path / "out")
    assert (result.code, result.out) == (2, "")
    (line,) = result.errors
    assert line.startswith(f"alula: {words}")
    assert not (tmp_path / "out").exists()
