"""`alula export` and `alula synth`: what they refuse, in one line, before any work."""

from pathlib import Path


def test_a_folder_with_something_in_it_is_left_alone(alula, tmp_path: Path) -> None:
    (tmp_path / "mine").write_text("x")
    for words in ((), ("--force",)):
        result = alula("export", "tiny", "--out", tmp_path, *words)
        assert result.code == 2
        assert len(result.errors) == 1
        assert result.errors[0].startswith("alula: the folder must be ")
    assert [path.name for path in tmp_path.iterdir()] == ["mine"]
