"""`alula export` and `alula synth`: what takes no work, and what they refuse before."""

from pathlib import Path

import pytest

from alula.synth.place import SEEDS

REPORTS = Path(__file__).parent.parent / "synth" / "reports"


def test_a_folder_with_something_in_it_is_left_alone(alula, tmp_path: Path) -> None:
    (tmp_path / "mine").write_text("x")
    for words in ((), ("--force",)):
        result = alula("export", "tiny", "--out", tmp_path, *words)
        assert result.code == 2
        assert len(result.errors) == 1
        assert result.errors[0].startswith("alula: the folder must be ")
    assert [path.name for path in tmp_path.iterdir()] == ["mine"]


def test_an_estimate_takes_no_synthesis(alula) -> None:
    found = alula("synth", "kv260", "--estimate", "--json").json
    assert found["fits"]
    assert found["estimated"]["source"] == "estimated"
    assert found["report"] is None
    text = alula("synth", "kv260", "--estimate").out
    assert text.splitlines()[0].split() == ["kv260", "LUT", "FF", "DSP", "BRAM36", "URAM", "MHz"]
    assert f"{found['estimated']['lut']:,}" in text


def test_reports_stand_beside_the_estimate(alula) -> None:
    words = ("--read", REPORTS / "utilization.rpt", "--read", REPORTS / "timing.rpt")
    found = alula("synth", "kv260", *words, "--json").json
    assert found["report"]["use"]["lut"] == 58213
    assert found["share"]["lut"] == 58213 / 117120
    (row,) = (
        line for line in alula("synth", "kv260", *words).out.splitlines() if "placed by" in line
    )
    assert row.split() == [
        "placed", "by", "Vivado", "2023.2", "58,213", "61,007", "422", "92.5", "46", "267"
    ]  # fmt: skip


@pytest.mark.parametrize("word", ["--place", "--modules"])
def test_an_estimate_places_nothing(alula, word: str) -> None:
    result = alula("synth", "tiny", "--estimate", word)
    assert result.code == 2
    assert result.errors == [
        "alula: --estimate and --read must be given without --place and --modules"
    ]


def test_seeds_are_for_a_placement(alula) -> None:
    result = alula("synth", "tiny", "--seeds", "2")
    assert (result.code, result.errors) == (2, ["alula: --seeds must be given with --place"])
    assert f"[default: ({SEEDS})]" in alula("synth", "--help").out


def test_a_report_that_is_none(alula, tmp_path: Path) -> None:
    path = tmp_path / "report.rpt"
    path.write_text("no report")
    for path_ in (path, tmp_path / "none.rpt", tmp_path):
        result = alula("synth", "kv260", "--read", path_)
        assert result.code == 2
        assert len(result.errors) == 1
        assert result.errors[0].startswith("alula: a report must be ")
        assert str(path_) in result.errors[0]


def test_a_design_that_the_part_does_not_have_is_said_so(alula, tmp_path: Path) -> None:
    path = tmp_path / "utilization.rpt"
    text = (REPORTS / "utilization.rpt").read_text()
    path.write_text(text.replace("| 58213 |", "| 158213 |"))
    result = alula("synth", "kv260", "--read", path)
    assert result.code == 2
    assert result.errors == [
        "alula: kv260 must fit AMD Kria K26 (KV260 board), and takes more than it has"
    ]
