"""Files and folders that appear whole or not at all, and where they are kept."""

import errno
import fcntl
import os
import secrets
import shutil
import stat
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

_PART = ".alula-part-"
_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
_MARK = "owner"
_MARK_TEXT = b"alula writes here while its process holds a lock on this file\n"


def cache_folder() -> Path:
    """Return the folder that Alula keeps models and builds in; it need not exist yet.

    ALULA_CACHE names it; otherwise it is "alula" in XDG_CACHE_HOME or in ~/.cache.

    OSError if there is no such home folder.
    """
    own = os.environ.get("ALULA_CACHE")
    place = Path(own) if own else Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache", "alula")
    try:
        return place.expanduser()
    except RuntimeError:
        raise FileNotFoundError(errno.ENOENT, "No such home folder", str(place)) from None


@contextmanager
def new_folder(place: Path, *, replace: bool = False) -> Iterator[Path]:
    """Give an empty folder to fill, which becomes `place` when the block ends well.

    If the block raises, or is interrupted, nothing is left and `place` is as it was. What a killed
    process left unfinished beside `place` is removed: only folders that carry Alula's mark, whose
    owner is gone.

    Args:
        place: where the folder appears; a symlink is followed.
        replace: a folder that is there already is replaced, once the new one is complete.

    Raises:
        OSError: it cannot be written, or there is something at `place` that is no empty folder.
    """
    place = Path(os.path.realpath(place))
    place.parent.mkdir(parents=True, exist_ok=True)
    _sweep(place.parent)
    part = Path(tempfile.mkdtemp(dir=place.parent, prefix=_PART))
    try:
        with _owned(part):
            folder = part / "content"
            folder.mkdir()
            yield folder
            if replace and place.exists():
                _exchange(folder, place)
            else:
                folder.rename(place)
    finally:
        shutil.rmtree(part, ignore_errors=True)


@contextmanager
def new_file(place: Path) -> Iterator[BinaryIO]:
    """Give a file to write, which becomes `place` when the block ends well.

    If the block raises, or is interrupted, nothing is left and an earlier file is as it was. A
    symlink is followed. What is no regular file, a device or a FIFO, is written through instead.

    Raises:
        OSError: it cannot be written, on a full disk for example.
    """
    mode = _mode(place)
    if mode is not None and not stat.S_ISREG(mode):
        with place.open("wb") as file:
            yield file
        return
    place = Path(os.path.realpath(place))
    place.parent.mkdir(parents=True, exist_ok=True)
    part = place.with_name(f"{_PART}{secrets.token_hex(8)}")
    handle = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o666)
    try:
        with os.fdopen(handle, "wb") as file:
            yield file
        if mode is not None:
            part.chmod(stat.S_IMODE(mode))
        part.replace(place)
    except BaseException as error:
        part.unlink(missing_ok=True)
        if isinstance(error, OSError) and error.errno in _FULL and error.filename is None:
            error.filename = str(place)  # a write does not know its file's name
        raise


def check_seekable(place: Path) -> None:
    """Make sure that a library that goes to and fro in a file may write one at `place`.

    Nothing is written. OSError if there is a device, a FIFO or a folder, or no permission.
    """
    mode = _mode(place)
    if mode is not None and not stat.S_ISREG(mode):
        raise OSError(errno.ESPIPE, "Must be a regular file", str(place))
    if mode is None and not place.parent.is_dir():
        raise OSError(errno.ENOENT, os.strerror(errno.ENOENT), str(place.parent))
    if not os.access(place if mode is not None else place.parent, os.W_OK):
        raise OSError(errno.EACCES, os.strerror(errno.EACCES), str(place))


def _mode(place: Path) -> int | None:
    try:
        return place.stat().st_mode
    except FileNotFoundError:
        return None


def _exchange(folder: Path, place: Path) -> None:
    """Put a folder in the place of another, which is then removed."""
    aside = Path(tempfile.mkdtemp(dir=place.parent, prefix=f".{place.name}-earlier-"))
    earlier = aside / place.name
    place.rename(earlier)
    try:
        folder.rename(place)
    except BaseException:
        earlier.rename(place)
        aside.rmdir()
        raise
    shutil.rmtree(aside, ignore_errors=True)


@contextmanager
def _owned(part: Path) -> Iterator[None]:
    """Mark a folder as Alula's, and as in use for as long as this process lives in the block."""
    with (part / "new").open("wb") as mark:
        fcntl.flock(mark, fcntl.LOCK_EX)
        mark.write(_MARK_TEXT)
        mark.flush()
        # The mark appears locked: nobody sees it without its owner.
        (part / "new").rename(part / _MARK)
        yield


def _sweep(parent: Path) -> None:
    """Remove the unfinished folders of processes that have ended."""
    for part in parent.glob(f"{_PART}*"):
        if part.is_symlink() or not part.is_dir():
            continue
        try:
            handle = os.open(part / _MARK, os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW)
        except OSError:
            continue
        with os.fdopen(handle, "rb") as mark:
            try:
                if mark.read(len(_MARK_TEXT) + 1) != _MARK_TEXT:
                    continue
                fcntl.flock(mark, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                continue
            shutil.rmtree(part, ignore_errors=True)
