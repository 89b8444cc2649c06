"""What a model is: the SHA-256 of all the bytes that it is read from.

Nothing is skipped and nothing is taken from size, name or date: a gigabyte takes about a second.
"""

import os
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from hashlib import sha256
from pathlib import Path
from threading import Event, Lock

from alula.files import open_regular
from alula.progress import Progress, silent

_CHUNK = 8 << 20
_LARGE = 512 << 20
"""Bytes from which on progress is reported."""


def content_id(parts: Mapping[str, str]) -> str:
    """Return one id of several parts, from the SHA-256 of each by what it is."""
    text = "".join(f"{name}\0{digest}\n" for name, digest in sorted(parts.items()))
    return sha256(text.encode("utf-8", "surrogateescape")).hexdigest()


def file_digests(paths: Sequence[Path], progress: Progress = silent) -> list[str]:
    """Return the SHA-256 of each of some files in hexadecimal, several at a time.

    OSError if one cannot be read.
    """
    total = sum(path.stat().st_size for path in paths)
    done, lock, stop = 0, Lock(), Event()

    def digest(path: Path) -> str:
        nonlocal done
        found = sha256()
        with open_regular(path) as file:
            while (chunk := file.read(_CHUNK)) and not stop.is_set():
                found.update(chunk)
                with lock:
                    done += len(chunk)
                    if total >= _LARGE:
                        progress("hashing the model", done, total)
        return found.hexdigest()

    with ThreadPoolExecutor(min(len(paths), os.cpu_count() or 1)) as pool:
        try:
            return list(pool.map(digest, paths))
        finally:
            stop.set()
