"""Folders and files that appear whole or not at all, and where they are kept."""

import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_PREFIX = ".part-"
_STALE_S = 24 * 3600


def cache_folder() -> Path:
    """Return the folder that Alula keeps models and builds in; it need not exist yet.

    ALULA_CACHE names it; otherwise it is "alula" in XDG_CACHE_HOME or in ~/.cache.
    """
    own = os.environ.get("ALULA_CACHE")
    if own:
        return Path(own).expanduser()
    base = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    return Path(base).expanduser() / "alula"


@contextmanager
def new_folder(place: Path) -> Iterator[Path]:
    """Give an empty folder to fill, which becomes `place` when the block ends well.

    If the block raises, or is interrupted, nothing is left. If `place` has come to exist in the
    meantime it is kept, and what was written is dropped: another process did the same work.

    Raises:
        OSError: it cannot be written, on a full disk for example.
    """
    place.parent.mkdir(parents=True, exist_ok=True)
    _sweep(place.parent)
    folder = Path(tempfile.mkdtemp(dir=place.parent, prefix=_PREFIX))
    try:
        yield folder
        folder.chmod(0o755)
        try:
            folder.rename(place)
        except OSError:
            if not place.is_dir():
                raise
            shutil.rmtree(folder)
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise


def _sweep(parent: Path) -> None:
    """Remove what processes that were killed a day ago left unfinished."""
    for left in parent.glob(f"{_PREFIX}*"):
        try:
            if time.time() - left.stat().st_mtime > _STALE_S:
                shutil.rmtree(left, ignore_errors=True)
        except FileNotFoundError:
            continue
