"""The cache: made once, checked before use, made anew where it is damaged."""

import errno
import json
import logging
import multiprocessing
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from alula.folders import cache_folder
from alula.kept import damage, kept, seal

WORDS = {"a.txt": "one", "b/c.txt": "two"}


def fill(folder: Path) -> None:
    for name, text in WORDS.items():
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text(text)
    (folder / "a.txt").chmod(0o755)


def texts(place: Path) -> dict[str, str]:
    return {name: (place / name).read_text() for name in WORDS}


def flip(place: Path) -> None:
    data = bytearray((place / "a.txt").read_bytes())
    data[1] ^= 4
    (place / "a.txt").write_bytes(data)


def keeping_its_date(place: Path) -> None:
    status = (place / "a.txt").stat()
    flip(place)
    os.utime(place / "a.txt", ns=(status.st_atime_ns, status.st_mtime_ns))


def swap(place: Path, make: Callable[[Path], object]) -> None:
    (place / "a.txt").unlink()
    make(place / "a.txt")


def emptied(place: Path) -> None:
    for path in (place / "a.txt", place / "b" / "c.txt", place / "manifest.json"):
        path.unlink()
    (place / "b").rmdir()


def replaced(place: Path, make: Callable[[Path], object]) -> None:
    place.rename(place.with_name("moved"))
    make(place)


DAMAGE: dict[str, tuple[Callable[[Path], object], str]] = {
    "flipped bit": (flip, "a.txt is not what was written"),
    "flipped bit, same date": (keeping_its_date, "a.txt is not what was written"),
    "truncated": (lambda place: os.truncate(place / "a.txt", 1), "a.txt is not what was written"),
    "emptied file": (lambda place: os.truncate(place / "a.txt", 0), "a.txt is not"),
    "no program any more": (lambda place: (place / "a.txt").chmod(0o644), "a.txt is not"),
    "missing": (lambda place: (place / "b" / "c.txt").unlink(), "b/c.txt is missing"),
    "one more": (lambda place: (place / "d").write_text("x"), "d is not of it"),
    "one more folder": (lambda place: (place / "d").mkdir(), "d/ is not of it"),
    "empty folder": (emptied, "manifest.json is missing"),
    "no manifest": (lambda place: (place / "manifest.json").unlink(), "manifest.json is missing"),
    "broken manifest": (
        lambda place: (place / "manifest.json").write_text("{"),
        "manifest.json cannot be read",
    ),
    "deep manifest": (
        lambda place: (place / "manifest.json").write_text("[" * 10**5),
        "manifest.json cannot be read",
    ),
    "empty manifest": (
        lambda place: (place / "manifest.json").write_text("{}"),
        "manifest.json names no files",
    ),
    "file to folder": (lambda place: swap(place, Path.mkdir), "a.txt is missing"),
    "file to symlink": (
        lambda place: swap(place, lambda path: path.symlink_to(place / "b" / "c.txt")),
        "no regular file",
    ),
    "file to FIFO": (lambda place: swap(place, os.mkfifo), "no regular file"),
    "folder to file": (lambda place: replaced(place, Path.touch), "it is no folder"),
    "folder to symlink": (
        lambda place: replaced(place, lambda path: path.symlink_to("moved")),
        "it is no folder",
    ),
}


def test_made_once(cache: Path, files_under: Callable, caplog: pytest.LogCaptureFixture) -> None:
    made: list[Path] = []

    def make(folder: Path) -> None:
        made.append(folder)
        fill(folder)

    for _ in range(3):
        place = kept("things", "k", make)
        assert place == cache / "things" / "k"
        assert texts(place) == WORDS
    assert len(made) == 1
    assert caplog.records == []
    names = ["things", *(f"things/k{rest}" for rest in ("", "/a.txt", "/b", "/b/c.txt"))]
    assert files_under(cache) == [*names, "things/k/manifest.json"]


@pytest.mark.parametrize("kind", DAMAGE)
def test_damage_is_found_and_mended(
    cache: Path, caplog: pytest.LogCaptureFixture, kind: str
) -> None:
    place = kept("things", "k", fill)
    harm, words = DAMAGE[kind]
    harm(place)
    found = damage(place)
    assert found is not None
    assert words in found
    assert texts(kept("things", "k", fill)) == WORDS
    assert damage(place) is None
    (record,) = caplog.records
    assert record.levelno == logging.WARNING
    assert record.getMessage() == f"{place} was damaged ({found}) and is made anew"
    if kind == "folder to symlink":
        assert texts(place.with_name("moved")) == WORDS


def test_what_cannot_be_made_leaves_nothing(cache: Path, files_under: Callable) -> None:
    def make(folder: Path) -> None:
        fill(folder)
        raise ValueError("no")

    with pytest.raises(ValueError, match="no"):
        kept("things", "k", make)
    assert files_under(cache) == ["things"]


def test_a_manifest_of_some_files(tmp_path: Path) -> None:
    fill(tmp_path)
    seal(tmp_path, ["a.txt"])
    assert damage(tmp_path, others=True) is None
    assert damage(tmp_path) == "b/c.txt is not of it"
    assert list(json.loads((tmp_path / "manifest.json").read_text())) == ["a.txt"]


COUNTED = """
import sys, time
from pathlib import Path
from alula.kept import kept
def make(folder):
    with open(sys.argv[1], "a") as file:
        file.write("x")
    time.sleep(0.3)
    (folder / "a.txt").write_text("whole")
print((kept("things", "k", make) / "a.txt").read_text())
"""


def test_several_processes_mend_it_once(cache: Path, tmp_path: Path) -> None:
    place = kept("things", "k", lambda folder: (folder / "a.txt").write_text("whole"))
    (place / "a.txt").write_text("hole")
    count = tmp_path / "count"
    words = [sys.executable, "-c", COUNTED, str(count)]
    pipe = subprocess.PIPE
    running = [subprocess.Popen(words, stdout=pipe, stderr=pipe, text=True) for _ in range(6)]
    told = [process.communicate(timeout=60) for process in running]
    assert [out for out, _ in told] == ["whole\n"] * 6
    assert count.read_text() == "x"
    lines = [line for _, errors in told for line in errors.splitlines()]
    assert lines == [f"{place} was damaged (a.txt is not what was written) and is made anew"]


def killed_while_making(started: Path) -> None:
    def make(folder: Path) -> None:
        fill(folder)
        started.touch()
        time.sleep(60)

    kept("things", "k", make)


def test_a_killed_maker_holds_nobody_up(cache: Path, tmp_path: Path, files_under: Callable) -> None:
    started = tmp_path / "started"
    context = multiprocessing.get_context("spawn")
    process = context.Process(target=killed_while_making, args=(started,))
    process.start()
    while not started.exists():
        assert process.is_alive()
        time.sleep(0.02)
    assert process.pid is not None
    os.kill(process.pid, signal.SIGKILL)
    process.join()
    assert texts(kept("things", "k", fill)) == WORDS
    # Neither the lock nor what it had begun is left.
    assert [path.name for path in (cache / "things").iterdir()] == ["k"]


@pytest.mark.parametrize("number", [errno.EMFILE, errno.ENOMEM])
def test_what_is_wrong_with_the_process_is_no_damage(
    cache: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    place = kept("things", "k", fill)

    def refuse(*_: object, **__: object) -> None:
        raise OSError(number, os.strerror(number))

    with monkeypatch.context() as patch:
        patch.setattr(Path, "open", refuse)
        with pytest.raises(OSError, match=os.strerror(number)):
            kept("things", "k", fill)
    assert damage(place) is None


def test_a_cache_that_cannot_be_written(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    place = kept("things", "k", fill)
    opened = os.open

    def refuse(path: object, flags: int, *mode: int, **more: int) -> int:
        if flags & os.O_CREAT:
            raise OSError(30, "Read-only file system", str(path))
        return opened(path, flags, *mode, **more)  # pyright: ignore[reportArgumentType]

    monkeypatch.setattr(os, "open", refuse)
    assert kept("things", "k", fill) == place
    flip(place)
    with pytest.raises(OSError, match="the cache must be writable, not: read-only file") as caught:
        kept("things", "k", fill)
    assert caught.value.filename == str(place)
    assert (place / "a.txt").exists()


def test_an_entry_is_of_the_cache_of_the_moment(cache: Path) -> None:
    assert kept("things", "k", fill).is_relative_to(cache_folder())


def test_nothing_follows_from_a_date() -> None:
    """When a file was written says nothing of what it holds: no source of Alula asks."""
    root = Path(__file__).parents[2]
    asked = re.compile(r"st_[mac]time|getmtime|getctime")
    sources = [
        path for folder in ("hw", "sw", "sim", "host") for path in (root / folder).rglob("*.py")
    ]
    assert len(sources) > 100
    assert [path for path in sources if asked.search(path.read_text())] == []
