"""Which version of the code made something."""

from pathlib import Path

import pytest

from alula import sources
from alula.sources import sources_id


def test_edited_files_are_another_version_but_not_of_what_has_been_loaded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A process that runs on while Alula is edited makes what the old code makes."""
    file = tmp_path / "edited_here" / "__init__.py"
    file.parent.mkdir()
    file.write_text("NUMBER = 1\n")
    monkeypatch.syspath_prepend(tmp_path)
    theirs = sources_id("edited_here")
    monkeypatch.setattr(sources, "_OWN", "edited_here")
    ours = sources_id("edited_here")
    assert ours == theirs
    file.write_text("NUMBER = 2\n")
    assert sources_id("edited_here") == ours
    monkeypatch.undo()
    monkeypatch.syspath_prepend(tmp_path)
    assert sources_id("edited_here") != theirs


def test_no_such_package() -> None:
    for name in ("alula.none", "none_at_all"):
        with pytest.raises(ModuleNotFoundError):
            sources_id(name)
