"""The campaign itself: it finds what is planted, and a seed means the same inputs each time."""

import os
import time
from pathlib import Path

import pytest
from tests.campaign.campaign import Campaign
from tests.campaign.judge import Outcome, complaints, listing
from tests.campaign.kinds import Input, Place, make

QUICK = ("sweep", "listing", "program", "image")
ASM = Input(["asm"])
GOOD = Outcome(2, "", "alula: a line\n")


def judged(outcome: Outcome, given: Input = ASM, **folders: dict[str, str]) -> list[str]:
    before, after = folders.get("before", {}), folders.get("after", {})
    return list(complaints(given, outcome, before, after, "[1, 2]"))


@pytest.mark.parametrize(
    ("outcome", "found"),
    [
        (GOOD, []),
        (Outcome(0, "fine\n", ""), []),
        (Outcome(1, "", ""), ["exit code 1"]),
        (Outcome(2, "", ""), ["no line"]),
        (Outcome(2, "", "alula: a\nb\n"), ["several lines"]),
        (Outcome(2, "", "alula: m is not supported:\nunit  reason\n"), []),
        (Outcome(2, "", "alula: \x1b[31m\n"), ["control characters in the errors"]),
        (Outcome(0, "\u202e", ""), ["control characters in the output"]),
        (Outcome(0, "", "Warning\n"), ["other words on standard error"]),
        (
            Outcome(1, "", "", 'Traceback\n  File "/x/alula/a.py", line 3, in f\nKeyError: 1'),
            ['traceback: KeyError (a.py", line 3, in f)'],
        ),
    ],
)
def test_the_judge(outcome: Outcome, found: list[str]) -> None:
    assert judged(outcome) == found


def test_the_judge_of_files(tmp_path: Path) -> None:
    out = tmp_path / "out"
    before = listing(tmp_path)
    out.write_text("x")
    written = listing(tmp_path)
    given = Input(["asm"], out)
    assert judged(Outcome(0, "", ""), given, before=before, after=written) == []
    assert judged(GOOD, given, before=before, after=written) == ["left behind: "]
    assert judged(GOOD, before=written, after=before) == ["lost or changed: "]
    assert judged(Outcome(0, '{"token_ids": [1]}', ""), Input(["run"], answers=True)) == [
        "no answer, exit code 0"
    ]


def test_a_seed_means_the_same_inputs(tmp_path: Path) -> None:
    seen = []
    for name in ("a", "b"):
        files = []
        for number in range(30):
            folder = tmp_path / name / str(number)
            folder.mkdir(parents=True)
            make(5, number, Place(folder, folder, folder), QUICK)
            files.append([path.read_bytes() for path in sorted(folder.iterdir())])
        seen.append(files)
    assert seen[0] == seen[1]


def test_some_inputs_end_as_they_should(tmp_path: Path) -> None:
    campaign = Campaign(3, QUICK, tmp_path / "kept")
    result = campaign.run(range(60))
    campaign.close()
    assert sum(result.inputs.values()) == 60
    assert result.failures == []
    assert not (tmp_path / "kept").exists()


def _defect(*_: object) -> None:
    raise ZeroDivisionError("planted")


def _end(*_: object) -> None:
    os._exit(3)


def _leave(*_: object) -> None:
    (Path(os.environ["ALULA_CACHE"]) / ".part-1").mkdir()


def _work(*_: object) -> None:
    while True:
        time.sleep(0.01)


@pytest.mark.parametrize(
    ("planted", "found"),
    [
        (_defect, "traceback: ZeroDivisionError"),
        (_end, "the process ended: exit code 3"),
        (_leave, "half-written in the cache"),
        (_work, "more than 2 s"),
    ],
)
def test_a_planted_fault_is_found(
    planted, found: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tests.campaign.commands.Image.load", planted)
    monkeypatch.setattr("tests.campaign.campaign.LIMIT_S", 2)
    campaign = Campaign(3, ("image",), tmp_path)
    result = campaign.run(range(1))
    campaign.close()
    assert any(failure.found.startswith(found) for failure in result.failures)
    assert (tmp_path / "3-0" / "files" / "i.alula").exists()
    assert (tmp_path / "3-0" / "found.json").exists()
