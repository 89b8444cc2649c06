"""The file format of programs and images: magic, a JSON header, then raw bytes at a page boundary.

Files appear whole or not at all: they are written beside their place and renamed.
"""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np

ALIGNMENT = 4096
_PREFIX = 16


class ContainerError(ValueError):
    """A file that is not what it should be."""


def write_container(
    path: Path, magic: bytes, header: dict[str, Any], payload: Iterable[memoryview | bytes]
) -> None:
    """Write `path` atomically. OSError (a full disk, say) leaves nothing behind."""
    text = json.dumps(header, sort_keys=True).encode()
    start = -(-(_PREFIX + len(text)) // ALIGNMENT) * ALIGNMENT
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(magic.ljust(8, b"\0") + len(text).to_bytes(8, "little") + text)
            file.write(bytes(start - _PREFIX - len(text)))
            for part in payload:
                file.write(part)
        Path(temporary).chmod(0o644)
        Path(temporary).replace(path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise


def read_container(path: Path, magic: bytes) -> tuple[dict[str, Any], np.ndarray]:
    """Header and payload (uint8, memory-mapped, copy on write). ContainerError names file and fault."""
    try:
        with path.open("rb") as file:
            prefix = file.read(_PREFIX)
            if len(prefix) < _PREFIX or prefix[:8].rstrip(b"\0") != magic:
                raise ContainerError(f"{path}: magic must be {magic.decode()}, not {prefix[:8]!r}")
            length = int.from_bytes(prefix[8:], "little")
            text = file.read(length)
    except OSError as error:
        raise ContainerError(f"{path}: must be readable, not: {error.strerror}") from None
    try:
        header = json.loads(text)
    except ValueError:
        raise ContainerError(f"{path}: header must be JSON, not {text[:20]!r}") from None
    start = -(-(_PREFIX + length) // ALIGNMENT) * ALIGNMENT
    size = path.stat().st_size - start
    if size < 0 or size != header.get("payload_bytes"):
        raise ContainerError(f"{path}: payload must be {header.get('payload_bytes')} bytes, not {size}")
    if size == 0:
        return header, np.zeros(0, np.uint8)
    return header, np.memmap(path, np.uint8, "c", start, (size,))
