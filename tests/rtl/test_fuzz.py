"""`alula fuzz`: programs agree; one that does not is made small, kept and run again."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from alula.isa import INSTRUCTIONS, Program
from alula.rtl.device import Outcome, RtlDevice


@pytest.mark.parametrize(("design", "programs"), [("nano", 20), ("nano", 40), ("nano-sparse", 40)])
def test_random_programs_agree(
    alula: Callable[..., Any], tmp_path: Path, design: str, programs: int
) -> None:
    words = ("--programs", programs, "--seed", 5, "--out", tmp_path / "found", "--json")
    words += ("--design", design)
    result = alula("fuzz", *words)
    assert (result.code, result.errors) == (0, [])
    found = result.json
    assert (found["programs"], found["agree"], found["failures"]) == (programs, programs, [])
    assert found["instructions"].keys() <= {one.name for one in INSTRUCTIONS}
    assert len(found["instructions"]) == len(INSTRUCTIONS) or programs < 40
    assert found["cycles"] > programs * 2_000
    assert not (tmp_path / "found").exists()


def test_a_wrong_instruction_is_found_and_runs_again(
    alula: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    simulate = RtlDevice.run

    def wrong(self: RtlDevice, program: Program, *rest: Any) -> Outcome:
        outcome = simulate(self, program, *rest)
        self.memory[7] ^= any(op.name == "LAYERNORM" for op in program.ops)
        return outcome

    words = ("--programs", 1, "--seed", 5, "--out", tmp_path, "--json")
    number = next(
        number
        for number in range(40)
        if "LAYERNORM" in alula("fuzz", *words, "--first", number).json["instructions"]
    )
    with monkeypatch.context() as patch:
        patch.setattr(RtlDevice, "run", wrong)
        result = alula("fuzz", *words, "--first", number)
        assert result.code == 1
        (failure,) = result.json["failures"]
        assert failure["program"] == number
        assert "the first at beat 0, byte 7 (data)" in failure["found"]
        folder = Path(failure["folder"])
        small = Program.load(folder / "program.alula")
        assert [op.name for op in small.ops].count("LAYERNORM") == 1
        assert failure["instructions"] == len(small) < 50
        replay = failure["replay"].split()[1:]
        again = alula(*replay)
        assert (again.code, again.errors[0][:13]) == (1, "alula: memory")
    assert alula(*replay).code == 0
    (folder / "case.json").write_text("{}")
    refused = alula(*replay)
    assert (refused.code, len(refused.errors)) == (2, 1)


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (("--programs", 0), "--programs must be at least 1, not 0"),
        (("--first", -1), "--first must be at least 0, not -1"),
        (
            ("--replay", "nowhere"),
            "nowhere/program.alula: must be readable, not: No such file or directory",
        ),
    ],
)
def test_refused(alula: Callable[..., Any], words: tuple[object, ...], line: str) -> None:
    result = alula("fuzz", *words)
    assert (result.code, result.out, result.errors) == (2, "", [f"alula: {line}"])
