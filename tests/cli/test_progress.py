"""How far long work is, where no terminal shows it."""

import time

import pytest

from alula.cli import progress as progresses
from alula.cli.progress import progress_bar


@pytest.fixture(autouse=True)
def short(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(progresses, "_PAUSE_S", 0.1)
    monkeypatch.delenv("ALULA_PROGRESS", raising=False)


def test_a_line_now_and_then(capsys: pytest.CaptureFixture[str]) -> None:
    """Also where the work itself says nothing for long, and never on standard output."""
    with progress_bar() as show:
        show("points", 1, 4)
        show("points", 2, 4)
        time.sleep(0.45)
    out, errors = capsys.readouterr()
    assert out == ""
    lines = errors.splitlines()
    assert 2 <= len(lines) <= 5
    assert all(line.startswith("alula: points 50%, about ") for line in lines)
    assert all(line.endswith(" s left") for line in lines)


def test_short_work_says_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    with progress_bar() as show:
        show("points", 1, 4)
    assert capsys.readouterr() == ("", "")


def test_off_and_lines(capsys, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ALULA_PROGRESS", "off")
    with progress_bar() as show:
        show("points", 1, 4)
        time.sleep(0.2)
    assert capsys.readouterr() == ("", "")
    monkeypatch.setattr(progresses, "_PAUSE_S", 60)
    monkeypatch.setenv("ALULA_PROGRESS", "lines")
    with progress_bar() as show:
        for stage in ("compile", "decode, cycle 1", "decode, cycle 2"):
            show(stage, 0, 0)
    assert capsys.readouterr() == ("", "alula: compile\nalula: decode, cycle 1\n")


def test_time_left(monkeypatch: pytest.MonkeyPatch) -> None:
    """Rows of an earlier start, done before this one began, took it no time."""
    now = 100.0
    monkeypatch.setattr(progresses.time, "monotonic", lambda: now)
    estimate = progresses._Estimate()
    assert estimate.line() == "starting"
    estimate.take("points", 6, 12)
    now += 40
    assert estimate.line() == "points 50%, for 40 s"
    estimate.take("points", 8, 12)
    assert estimate.line() == "points 66%, about 80 s left"
    now += 3560
    assert estimate.line() == "points 66%, about 2.0 h left"
    estimate.take("points", 9, 12)
    assert estimate.line() == "points 75%, about 60 min left"
    estimate.take("points", 12, 12)
    assert estimate.line() == "points 100%, for 60 min"
