"""`alula export` and `alula synth`: what they refuse, in one line, before any work."""

from pathlib import Path


def test_several_cores_are_not_exported(alula, tmp_path: Path) -> None:
    result = alula("export", "u280", "--out", tmp_path / "out", "--json")
    assert (result.code, result.out) == (2, "")
    assert result.errors == ["alula: cores must be 1 for export, not 3 (u280)"]
    assert list(tmp_path.iterdir()) == []


def test_a_folder_with_something_in_it_is_left_alone(alula, tmp_path: Path) -> None:
    (tmp_path / "mine").write_text("x")
    for words in ((), ("--force",)):
        result = alula("export", "tiny", "--out", tmp_path, *words)
        assert result.code == 2
        assert len(result.errors) == 1
        assert result.errors[0].startswith("alula: the folder must be ")
    assert [path.name for path in tmp_path.iterdir()] == ["mine"]


def test_yosys_knows_no_versal(alula) -> None:
    result = alula("synth", "vhk158", "--json")
    assert (result.code, result.out) == (2, "")
    assert result.errors == [
        "alula: part.family must be ultrascale+ or ecp5 for Yosys, not versal (vhk158)"
    ]
