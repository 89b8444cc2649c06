"""Numba's `njit`, with a cache on disk that notices a change in any file a kernel depends on.

Numba itself looks only at the file of the function it compiles, not at those of its callees and
constants.
"""

from __future__ import annotations

import hashlib
import os
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numba
from numba.core import config

from alula.isa import formats

__all__ = ["kernel", "start_threads"]


def _fingerprint(folder: Path) -> str:
    digest = hashlib.sha256(numba.__version__.encode())
    for path in (*sorted(folder.glob("*.py")), Path(formats.__file__)):
        digest.update(path.read_bytes())
    return digest.hexdigest()[:16]


def _cache_folder() -> str:
    """Beside the kernels if that can be written, in the user's cache if not."""
    here = Path(__file__).resolve().parent
    user = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "alula"
    candidates = [here / "__pycache__", user, Path(tempfile.gettempdir()) / f"alula-{os.getuid()}"]
    for candidate in candidates:
        folder = candidate / f"kernels-{_fingerprint(here)}"
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError:
            continue
        if os.access(folder, os.W_OK):
            return str(folder)
    return ""


_FOLDER = _cache_folder()


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
    """Decorate a function to be compiled: plain IEEE arithmetic, no global lock, cached."""

    def decorate(function: Callable[..., Any]) -> Callable[..., Any]:
        before = config.CACHE_DIR  # pyright: ignore[reportAttributeAccessIssue]
        config.CACHE_DIR = _FOLDER  # pyright: ignore[reportAttributeAccessIssue]
        try:
            options = {"parallel": parallel, "nogil": True, "error_model": "numpy"}
            return numba.njit(cache=bool(_FOLDER), fastmath=False, **options)(function)
        finally:
            config.CACHE_DIR = before  # pyright: ignore[reportAttributeAccessIssue]

    return decorate
