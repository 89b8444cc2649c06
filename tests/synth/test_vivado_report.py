"""Vivado's reports are read, and refused where they are of something else.

The fixtures have the form of Vivado 2023.2's; their numbers are made up.
"""

from pathlib import Path

import pytest

from alula.chips import Use
from alula.design import load_design
from alula.synth import SynthError, read_reports

REPORTS = Path(__file__).parent / "reports"
FLAT, HIERARCHY, TIMING = (
    REPORTS / f"{name}.rpt" for name in ("utilization", "hierarchy", "timing")
)
KV260 = load_design("kv260")
USE = Use(lut=58213, ff=61007, dsp=422, bram36=92.5, uram=46)


def changed(path: Path, tmp_path: Path, old: str, new: str) -> Path:
    """A copy of a report with every `old` replaced."""
    text = path.read_text(encoding="utf-8")
    assert old in text
    copy = tmp_path / path.name
    copy.write_text(text.replace(old, new), encoding="utf-8")
    return copy


@pytest.mark.parametrize("path", [FLAT, HIERARCHY], ids=lambda path: path.stem)
def test_utilisation(path: Path) -> None:
    found = read_reports(KV260, [path])
    assert (found.use, found.use_source) == (USE, "placed")
    assert found.tool == "Vivado 2023.2"
    assert (found.mhz, found.clock_source) == (None, None)


def test_timing() -> None:
    found = read_reports(KV260, [TIMING])
    assert found.mhz == pytest.approx(1000 / (3.333 + 0.412))
    assert (found.use, found.clock_source) == (None, "placed")


def test_both() -> None:
    found = read_reports(KV260, [TIMING, FLAT])
    assert found.use == USE
    assert found.slack_ns == -0.412
    assert found.tool == "Vivado 2023.2"


def test_after_synthesis_numbers_are_estimated(tmp_path: Path) -> None:
    path = changed(FLAT, tmp_path, "Fully Placed", "Synthesized")
    assert read_reports(KV260, [path]).use_source == "estimated"


def test_shares_beside_numbers(tmp_path: Path) -> None:
    path = changed(HIERARCHY, tmp_path, " 58213 ", " 58213(49.70%) ")
    assert read_reports(KV260, [path]).use == USE


def test_a_star_behind_a_name_and_a_chip_without_ultraram(tmp_path: Path) -> None:
    path = changed(FLAT, tmp_path, "| CLB LUTs  ", "| CLB LUTs* ")
    path = changed(path, tmp_path, "| URAM ", "| none ")
    found = read_reports(KV260, [path]).use
    assert found is not None
    assert (found.lut, found.uram) == (58213, 0)


def test_of_several_clocks_that_of_the_accelerator(tmp_path: Path) -> None:
    own = "clk    {0.000 1.667}        3.333           300.030         \n"
    path = changed(
        TIMING, tmp_path, own, own + "slow   {0.000 5.000}       10.000           100.0\n"
    )
    assert read_reports(KV260, [path]).period_ns == 3.333


@pytest.mark.parametrize(
    ("path", "old", "new", "message"),
    [
        (FLAT, "report_utilization", "report_power", "of Vivado wrote, not report_power ("),
        (FLAT, "xck26-sfvc784-2LV-c", "xcu280-fsvh2892-2L-e", "2LV-c, not xcu280-fsvh2892-2L-e ("),
        (FLAT, "| Device ", "| Devoid ", "must be of xck26-sfvc784-2LV-c, not no chip ("),
        (FLAT, "Design       : top", "Design       : other", "not of other alone ("),
        (FLAT, "CLB Registers", "registers", "must have a row of CLB Registers ("),
        (FLAT, "| 58213 |", "| many |", "a number of each resource, not 'many' ("),
        (HIERARCHY, "accelerator", "alu", "have an instance accelerator, not of system_wrapper"),
        (TIMING, "Clock Summary", "Clocks", "of one named clk, not none ("),
        (TIMING, "clk                ", "clk   NA           ", "of one named clk, not clk ("),
        (TIMING, "-0.412", "4.000", "below the period, 3.333 ns, not 4.0 ns ("),
    ],
)
def test_what_is_refused(tmp_path: Path, path: Path, old: str, new: str, message: str) -> None:
    copy = changed(path, tmp_path, old, new)
    with pytest.raises(SynthError) as refusal:
        read_reports(KV260, [copy])
    assert message in str(refusal.value)
    assert str(copy) in str(refusal.value)


def test_files_that_are_no_reports(tmp_path: Path) -> None:
    empty, binary = tmp_path / "empty", tmp_path / "binary"
    empty.touch()
    binary.write_bytes(b"\xff\xfe")
    for path, words in (
        (empty, "wrote, not another file"),
        (binary, "must be UTF-8 text"),
        (tmp_path, "Is a directory"),
        (tmp_path / "none", "No such file"),
    ):
        with pytest.raises(SynthError, match=words):
            read_reports(KV260, [path])


def test_two_of_a_kind_and_none() -> None:
    with pytest.raises(SynthError, match="one report of utilisation, not a second one"):
        read_reports(KV260, [FLAT, HIERARCHY])
    with pytest.raises(SynthError, match="there is none"):
        read_reports(KV260, [])


def test_a_design_without_a_chip() -> None:
    with pytest.raises(SynthError, match=r"^part\.number must be given"):
        read_reports(KV260.replace({"part.number": None}), [FLAT])
