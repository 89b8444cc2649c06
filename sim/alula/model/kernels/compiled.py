"""Numba's `njit`, with a cache on disk that notices a change in any file a kernel depends on.

Numba itself looks only at the date and size of the file of the function it compiles, not at those
of its callees and constants, and runs whatever it finds in its cache. Here the name of the folder
follows from the content of all those files, and machine code is compared with its SHA-256 before it
is loaded.
"""

import hashlib
import logging
import os
import pickle
import tempfile
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import numba
from numba.core import config
from numba.core.caching import FunctionCache, IndexDataCacheFile

from alula.folders import cache_folder
from alula.isa import formats


def _fingerprint(folder: Path) -> str:
    digest = hashlib.sha256(numba.__version__.encode())
    for path in (*sorted(folder.glob("*.py")), Path(formats.__file__)):
        digest.update(path.read_bytes())
    return digest.hexdigest()[:16]


@cache
def _cache_folder(here: Path) -> str:
    """Beside the kernels of a folder if that can be written, in the user's cache if not."""
    temporary = Path(tempfile.gettempdir()) / f"alula-{os.getuid()}"
    candidates = [here / "__pycache__", cache_folder(), temporary]
    for candidate in candidates:
        folder = candidate / f"kernels-{_fingerprint(here)}"
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError:
            continue
        if os.access(folder, os.W_OK):
            return str(folder)
    return ""


_LOG = logging.getLogger(__name__)
_DIGEST_BYTES = hashlib.sha256().digest_size


class _CheckedFiles(IndexDataCacheFile):
    """Numba's files of a function, each with its SHA-256 in front.

    One that is damaged is removed with one warning, and the kernel is compiled again.
    """

    def _load_index(self) -> dict[Any, str]:
        try:
            version, overloads = pickle.loads(self._read(self._index_path))
        except OSError:
            return {}
        return overloads if version == self._version else {}

    def _save_index(self, overloads: dict[Any, str]) -> None:
        self._write(self._index_path, self._dump((self._version, overloads)))

    def _load_data(self, name: str) -> Any:
        return pickle.loads(self._read(self._data_path(name)))

    def _save_data(self, name: str, data: Any) -> None:
        self._write(self._data_path(name), self._dump(data))

    def _write(self, path: str, content: bytes) -> None:
        with self._open_for_write(path) as file:
            file.write(hashlib.sha256(content).digest() + content)

    def _read(self, path: str) -> bytes:
        """Return a file's content. OSError if it is not there or was damaged."""
        stored = Path(path).read_bytes()
        content = stored[_DIGEST_BYTES:]
        if hashlib.sha256(content).digest() != stored[:_DIGEST_BYTES]:
            Path(path).unlink()
            _LOG.warning("%s was damaged and is compiled anew", path)
            raise FileNotFoundError(path)
        return content


class _CheckedCache(FunctionCache):
    """Numba's cache of a function, in files that are checked."""

    def __init__(self, function: Callable[..., Any]) -> None:
        super().__init__(function)
        base = self._impl.filename_base
        self._cache_file = _CheckedFiles(self._cache_path, base, source_stamp=None)


def start_threads() -> None:
    """Start the threads of parallel kernels, so that idle ones sleep soon instead of spinning.

    Products are short and many; on a busy machine a spinning thread takes the time of the one that
    it waits for. GNU's OpenMP reads its setting when it is loaded, which is here.
    """
    if {"GOMP_SPINCOUNT", "OMP_WAIT_POLICY"} & os.environ.keys():
        return
    os.environ["GOMP_SPINCOUNT"] = "1000"
    try:
        numba.get_num_threads()
    finally:
        del os.environ["GOMP_SPINCOUNT"]


def kernel(*, parallel: bool = False) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Decorate a function to be compiled: plain IEEE arithmetic, no global lock, cached.

    What it depends on is in files of its own folder.
    """

    def decorate(function: Callable[..., Any]) -> Callable[..., Any]:
        folder = _cache_folder(Path(function.__code__.co_filename).resolve().parent)
        before = config.CACHE_DIR  # pyright: ignore[reportAttributeAccessIssue]
        config.CACHE_DIR = folder  # pyright: ignore[reportAttributeAccessIssue]
        try:
            options = {"parallel": parallel, "nogil": True, "error_model": "numpy"}
            compiled = numba.njit(fastmath=False, **options)(function)
            if folder:
                compiled._cache = _CheckedCache(function)  # pyright: ignore[reportAttributeAccessIssue]
            return compiled
        finally:
            config.CACHE_DIR = before  # pyright: ignore[reportAttributeAccessIssue]

    return decorate
