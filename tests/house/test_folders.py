"""Folders that appear whole or not at all."""

import os
import pty
import resource
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from alula.folders import cache_folder, check_seekable, new_file, new_folder


def test_where_the_cache_is(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("ALULA_CACHE", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", "/home/ada")
    assert cache_folder() == Path("/home/ada/.cache/alula")
    monkeypatch.setenv("XDG_CACHE_HOME", "/fast")
    assert cache_folder() == Path("/fast/alula")
    monkeypatch.setenv("ALULA_CACHE", "~/mine")
    assert cache_folder() == Path("/home/ada/mine")


@pytest.mark.parametrize("place", ["~nobody-of-this-name/x", "~nobody-of-this-name"])
def test_a_home_that_is_not_there(place: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ALULA_CACHE", place)
    with pytest.raises(FileNotFoundError, match="No such home folder: '~nobody-of-this-name"):
        cache_folder()


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


def test_a_full_disk_is_named(tmp_path: Path, files_under: Callable) -> None:
    """By the file that is written; a limit of this process stands for the disk's."""
    place = tmp_path / "a"

    def fill() -> None:
        with new_file(place) as file:
            file.write(bytes(1 << 16))

    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 12, hard))
    try:
        with pytest.raises(OSError, match="File too large") as caught:
            fill()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert caught.value.filename == str(place)
    assert files_under(tmp_path) == []


def test_nothing_of_the_users_is_lost(tmp_path: Path, files_under: Callable) -> None:
    place = tmp_path / "a"

    def fill() -> None:
        with new_folder(place) as folder:
            (folder / "x").write_text("second")
            place.mkdir()
            (place / "x").write_text("first")

    with pytest.raises(OSError, match="not empty"):
        fill()
    assert (place / "x").read_text() == "first"
    assert files_under(tmp_path) == ["a", "a/x"]


@pytest.mark.parametrize("error", [None, ValueError()])
def test_replaced_only_by_what_is_whole(
    tmp_path: Path, files_under: Callable, error: Exception | None
) -> None:
    place, link = tmp_path / "a", tmp_path / "link"
    place.mkdir()
    (place / "x").write_text("earlier")
    link.symlink_to("a")

    def fill() -> None:
        with new_folder(link, replace=True) as folder:
            (folder / "x").write_text("new")
            if error:
                raise error

    if error:
        with pytest.raises(type(error)):
            fill()
    else:
        fill()
    assert (place / "x").read_text() == ("earlier" if error else "new")
    assert files_under(tmp_path) == ["a", "a/x", "link"]


def test_a_rename_that_fails_keeps_what_was_there(
    tmp_path: Path, files_under: Callable, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = tmp_path / "a"
    place.mkdir()
    (place / "x").write_text("earlier")
    rename = Path.rename

    def fail(self: Path, target: Path) -> Path:
        if self.name == "content":
            raise OSError(5, "Input/output error")
        return rename(self, target)

    monkeypatch.setattr(Path, "rename", fail)
    with pytest.raises(OSError, match="Input/output"), new_folder(place, replace=True):
        pass
    assert (place / "x").read_text() == "earlier"
    assert files_under(tmp_path) == ["a", "a/x"]


KILLED = """
import os, signal, sys
from pathlib import Path
from alula.folders import new_folder
with new_folder(Path(sys.argv[1])) as folder:
    (folder / "x").write_text("1")
    os.kill(os.getpid(), signal.SIGKILL)
"""


def test_only_what_carries_our_mark_and_has_no_owner_is_removed(tmp_path: Path) -> None:
    theirs = [tmp_path / name for name in (".part-mine", ".alula-part-mine", ".alula-part-marked")]
    for folder in theirs:
        folder.mkdir()
        (folder / "x").write_text("1")
        os.utime(folder, (1, 1))
    (theirs[2] / "owner").write_text("me")
    (tmp_path / ".alula-part-link").symlink_to(theirs[2])
    (tmp_path / ".alula-part-fifo").mkdir()
    os.mkfifo(tmp_path / ".alula-part-fifo" / "owner")
    before = {path.name for path in tmp_path.iterdir()}
    subprocess.run([sys.executable, "-c", KILLED, str(tmp_path / "a")], check=False)
    (left,) = {path.name for path in tmp_path.iterdir()} - before
    assert left.startswith(".alula-part-")
    with new_folder(tmp_path / "b") as folder:
        assert not (tmp_path / left).exists()
        with new_folder(tmp_path / "c"):
            # The other one lives.
            assert folder.is_dir()
    assert {path.name for path in tmp_path.iterdir()} == before | {"b", "c"}


class TestNewFile:
    """A file appears whole; what is no regular file is written through."""

    def test_whole_or_not_at_all(self, tmp_path: Path, files_under: Callable) -> None:
        place = tmp_path / "a" / "b"
        with new_file(place) as file:
            file.write(b"1")
            assert not place.exists()
        place.chmod(0o640)

        def fail() -> None:
            with new_file(place) as file:
                file.write(b"2")
                raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            fail()
        assert place.read_bytes() == b"1"
        with new_file(place) as file:
            file.write(b"3")
        assert place.read_bytes() == b"3"
        assert place.stat().st_mode & 0o777 == 0o640
        assert files_under(tmp_path) == ["a", "a/b"]

    def test_the_users_mask(self, tmp_path: Path) -> None:
        mask = os.umask(0o027)
        try:
            with new_file(tmp_path / "a") as file:
                file.write(b"1")
        finally:
            os.umask(mask)
        assert (tmp_path / "a").stat().st_mode & 0o777 == 0o640

    @pytest.mark.parametrize("there", [True, False])
    def test_a_symlink_stays(self, tmp_path: Path, there: bool) -> None:
        target, link = tmp_path / "there" / "target", tmp_path / "link"
        target.parent.mkdir()
        if there:
            target.write_bytes(b"1")
        link.symlink_to("there/target")
        with new_file(link) as file:
            file.write(b"2")
        assert link.is_symlink()
        assert target.read_bytes() == b"2"

    def test_a_fifo_stays(self, tmp_path: Path, files_under: Callable) -> None:
        fifo = tmp_path / "fifo"
        os.mkfifo(fifo)
        reader = os.open(fifo, os.O_RDONLY | os.O_NONBLOCK)
        with new_file(fifo) as file:
            file.write(b"through")
        assert os.read(reader, 100) == b"through"
        os.close(reader)
        assert fifo.is_fifo()
        assert files_under(tmp_path) == ["fifo"]

    def test_a_device_stays(self, tmp_path: Path) -> None:
        """A terminal of this test's own: nobody else's device is harmed where this fails."""
        reader, writer = pty.openpty()
        device, link = Path(os.ttyname(writer)), tmp_path / "link"
        link.symlink_to(device)
        for place in (link, device):
            with new_file(place) as file:
                file.write(b"through\n")
            assert os.read(reader, 100).strip() == b"through"
        assert device.is_char_device()
        assert link.is_symlink()
        os.close(reader)
        os.close(writer)

    def test_a_folder_is_refused(self, tmp_path: Path) -> None:
        with pytest.raises(IsADirectoryError), new_file(tmp_path):
            pass


def test_where_a_library_may_go_to_and_fro(tmp_path: Path, files_under: Callable) -> None:
    (tmp_path / "file").write_text("mine")
    os.mkfifo(tmp_path / "fifo")
    (tmp_path / "link").symlink_to("/dev/null")
    for name in ("file", "new"):
        check_seekable(tmp_path / name)
    for name in ("fifo", "link", "."):
        with pytest.raises(OSError, match="Must be a regular file"):
            check_seekable(tmp_path / name)
    with pytest.raises(FileNotFoundError):
        check_seekable(tmp_path / "no" / "new")
    assert (tmp_path / "file").read_text() == "mine"
    assert files_under(tmp_path) == ["fifo", "file", "link"]
