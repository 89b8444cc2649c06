"""Folders that appear whole or not at all."""

import os
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from alula.folders import cache_folder, new_folder


def test_where_the_cache_is(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("ALULA_CACHE", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", "/home/ada")
    assert cache_folder() == Path("/home/ada/.cache/alula")
    monkeypatch.setenv("XDG_CACHE_HOME", "/fast")
    assert cache_folder() == Path("/fast/alula")
    monkeypatch.setenv("ALULA_CACHE", "~/mine")
    assert cache_folder() == Path("/home/ada/mine")


def test_whole(tmp_path: Path, files_under: Callable) -> None:
    place = tmp_path / "a" / "b"
    with new_folder(place) as folder:
        (folder / "x").write_text("1")
        assert not place.exists()
    assert files_under(tmp_path) == ["a", "a/b", "a/b/x"]


@pytest.mark.parametrize("error", [OSError(28, "full"), KeyboardInterrupt(), ValueError()])
def test_not_at_all(tmp_path: Path, files_under: Callable, error: BaseException) -> None:
    def fill() -> None:
        with new_folder(tmp_path / "a") as folder:
            (folder / "x").write_text("1")
            raise error

    with pytest.raises(type(error)):
        fill()
    assert files_under(tmp_path) == []


def test_two_at_once(tmp_path: Path, files_under: Callable) -> None:
    place = tmp_path / "a"
    with new_folder(place) as folder:
        (folder / "x").write_text("second")
        with new_folder(place) as other:
            (other / "x").write_text("first")
    assert (place / "x").read_text() == "first"
    assert files_under(tmp_path) == ["a", "a/x"]


def test_what_a_killed_process_left_goes_after_a_day(tmp_path: Path) -> None:
    old, young = tmp_path / ".part-old", tmp_path / ".part-young"
    for folder in (old, young):
        folder.mkdir()
        (folder / "x").write_text("1")
    os.utime(old, (time.time() - 2 * 86400,) * 2)
    with new_folder(tmp_path / "a"):
        pass
    assert not old.exists()
    assert young.exists()
