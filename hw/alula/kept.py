"""What is kept in the cache: made once, checked before every use, made anew where it is damaged.

An entry is the folder ``KIND/KEY`` of the cache. It appears whole, with a manifest of the SHA-256
of each of its files, and whoever opens it reads all of it and compares: what a disk, a copy or a
killed process did to it is never run, mapped or parsed. Names, sizes and dates decide nothing.
"""

import errno
import fcntl
import hashlib
import json
import logging
import os
import shutil
import stat
import time
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from pathlib import Path

from alula.folders import cache_folder, new_file, new_folder

MANIFEST = "manifest.json"
_PAUSE_S = 0.05
_LONG_S = 10
_NOT_OF_THE_FILE = (errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.EINTR)
"""Errors that say nothing of what is read."""
_LOG = logging.getLogger(__name__)


def kept(
    kind: str,
    key: str,
    make: Callable[[Path], None],
    check: Callable[[Path], str | None] | None = None,
) -> Path:
    """Return the folder of an entry; `make` fills it if there is none or if it is damaged.

    Of several processes one makes an entry while the others wait for it. A damaged entry is
    removed with a warning of the logger ``alula.kept``. If `make` raises, nothing is left.

    Args:
        kind: what it is, such as "builds"; a folder of the cache.
        key: everything that it depends on, as a hash.
        make: called with an empty folder to fill.
        check: returns what is wrong with an entry, None if nothing is; `damage` if not given.

    Raises:
        OSError: the cache cannot be written, and there is no undamaged entry.
    """
    place = cache_folder() / kind / key
    check = check or damage
    if check(place) is None:
        return place
    with _alone(place):
        found = check(place)
        if found is None:
            return place
        if os.path.lexists(place):
            _LOG.warning("%s was damaged (%s) and is made anew", place, found)
            _remove(place)
        with new_folder(place) as folder:
            make(folder)
            seal(folder)
    return place


def seal(folder: Path, names: Collection[str] | None = None) -> None:
    """Write the manifest of a folder: of all its files, or of those in `names`.

    OSError if a file cannot be read or the manifest not be written.
    """
    files = {name for name in _walk(folder) if name != MANIFEST} if names is None else set(names)
    manifest = {name: _fingerprint(folder / name) for name in sorted(files)}
    with new_file(folder / MANIFEST) as file:
        file.write(json.dumps(manifest, indent=1).encode() + b"\n")


def damage(folder: Path, *, others: bool = False) -> str | None:
    """Return how a folder differs from its manifest, naming the file; None if it does not.

    Args:
        folder: what `seal` was called on.
        others: files that the manifest does not name may be there as well.

    Raises:
        OSError: this process may open no more files, or has no more memory.
    """
    try:
        if not stat.S_ISDIR(folder.lstat().st_mode):
            return "it is no folder"
        found = set(_walk(folder))
        if MANIFEST not in found:
            return f"{MANIFEST} is missing"
        manifest = json.loads(_regular(folder / MANIFEST).read_bytes())
        if not isinstance(manifest, dict) or not manifest:
            return f"{MANIFEST} names no files"
        if missing := sorted(manifest.keys() - found):
            return f"{missing[0]} is missing"
        if not others and (more := sorted(found - manifest.keys() - {MANIFEST})):
            return f"{more[0]} is not of it"
        for name, wanted in manifest.items():
            if _fingerprint(folder / name) != wanted:
                return f"{name} is not what was written"
    except (ValueError, RecursionError):
        return f"{MANIFEST} cannot be read"
    except OSError as error:
        if error.errno in _NOT_OF_THE_FILE:
            raise
        return f"{error.strerror or error}: {error.filename or folder}".lower()
    return None


def _fingerprint(path: Path) -> dict[str, object]:
    """Return what a manifest says of a file: its bytes' SHA-256, and whether it is a program."""
    with _regular(path).open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
        executable = bool(os.fstat(file.fileno()).st_mode & stat.S_IXUSR)
    return {"sha256": digest, "executable": executable}


def _regular(path: Path) -> Path:
    """Return a path at which there is a regular file. OSError if there is another thing."""
    if not stat.S_ISREG(path.lstat().st_mode):
        raise OSError(None, "no regular file", str(path))
    return path


def _walk(folder: Path, prefix: str = "") -> Iterator[str]:
    """Yield the relative name of everything in a folder that is no folder or an empty one."""
    empty = True
    for entry in os.scandir(folder):
        empty = False
        if entry.is_dir(follow_symlinks=False):
            yield from _walk(Path(entry.path), f"{prefix}{entry.name}/")
        else:
            yield prefix + entry.name
    if empty and prefix:
        yield prefix


def _remove(place: Path) -> None:
    """Remove whatever is at a place, never what a symlink points to."""
    if place.is_dir() and not place.is_symlink():
        shutil.rmtree(place)
    else:
        place.unlink()


@contextmanager
def _alone(place: Path) -> Iterator[None]:
    """Let one process at a time into the block; a process that ends leaves it, however it ends."""
    lock = place.with_name(f".{place.name}.lock")
    try:
        place.parent.mkdir(parents=True, exist_ok=True)
        file = _lock(lock, place)
    except OSError as error:
        reason = f"the cache must be writable, not: {(error.strerror or str(error)).lower()}"
        raise OSError(error.errno, reason, str(place)) from None
    try:
        yield
    finally:
        lock.unlink(missing_ok=True)
        os.close(file)


def _lock(lock: Path, place: Path) -> int:
    """Return the handle of a file that this process alone has locked."""
    since, warned = time.monotonic(), False
    while True:
        handle = os.open(lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            # Whoever had it before has removed it: then it is no longer everybody's lock.
            if os.path.samestat(os.fstat(handle), lock.stat()):
                return handle
        except (BlockingIOError, FileNotFoundError):
            pass
        except BaseException:
            os.close(handle)
            raise
        os.close(handle)
        time.sleep(_PAUSE_S)
        if not warned and time.monotonic() - since > _LONG_S:
            _LOG.warning("waiting for another process, which makes %s", place)
            warned = True
