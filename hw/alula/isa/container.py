"""The file format of programs and images: magic, a JSON header, raw bytes at a page boundary."""

import json
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from alula.files import open_regular
from alula.folders import new_file

ALIGNMENT = 4096
MOST_HEADER_BYTES = 16 << 20
"""What each instruction serves takes some twenty bytes."""
_PREFIX = 16
_KINDS = {
    str: "text",
    int: "a whole number",
    bool: "true or false",
    list: "a list",
    dict: "a mapping",
}

T = TypeVar("T")


class ContainerError(ValueError):
    """A file that is not what it should be."""


def write_container(
    path: Path, magic: bytes, header: dict[str, Any], payload: Iterable[memoryview | bytes]
) -> None:
    """Write `path` by `new_file`. OSError (a full disk, say) leaves nothing behind."""
    text = json.dumps(header, sort_keys=True).encode()
    start = _payload_start(len(text))
    with new_file(path) as file:
        file.write(magic.ljust(8, b"\0") + len(text).to_bytes(8, "little") + text)
        file.write(bytes(start - _PREFIX - len(text)))
        for part in payload:
            file.write(part)


def read_container(path: Path, magic: bytes) -> tuple[dict[str, Any], np.ndarray]:
    """Header and payload (uint8, memory-mapped, copy on write).

    ContainerError names file and fault.
    """
    try:
        with open_regular(path) as file:
            prefix = file.read(_PREFIX)
            if len(prefix) < _PREFIX or prefix[:8].rstrip(b"\0") != magic:
                raise ContainerError(f"{path}: magic must be {magic.decode()}, not {prefix[:8]!r}")
            size = os.fstat(file.fileno()).st_size
            length = int.from_bytes(prefix[8:], "little")
            if length > size - _PREFIX:
                raise ContainerError(f"{path}: header must be {length} bytes, not {size - _PREFIX}")
            if length > MOST_HEADER_BYTES:
                most = f"at most {MOST_HEADER_BYTES} bytes"
                raise ContainerError(f"{path}: header must be {most}, not {length}")
            header = _parse_header(path, file.read(length))
            wanted = checked_number(path, "payload_bytes", header.get("payload_bytes"), 0)
            start = _payload_start(length)
            if size - start != wanted:
                raise ContainerError(
                    f"{path}: payload must be {wanted} bytes, not {max(size - start, 0)}"
                )
            if wanted == 0:
                return header, np.zeros(0, np.uint8)
            return header, np.memmap(file, np.uint8, "c", start, (wanted,))
    except OSError as error:
        raise ContainerError(f"{path}: must be readable, not: {error.strerror or error}") from None


def checked(path: Path, what: str, value: object, kind: type[T]) -> T:
    """`value` of a header if it is of the JSON type `kind`, else ContainerError."""
    if type(value) is not kind:
        raise ContainerError(f"{path}: {what} must be {_KINDS[kind]}, not {_brief(value)}")
    return value


def checked_number(path: Path, what: str, value: object, low: int, high: int | None = None) -> int:
    """`value` of a header if it is a whole number in `low..high`, else ContainerError."""
    number = checked(path, what, value, int)
    if number < low or (high is not None and number > high):
        limits = f"at least {low}" if high is None else f"{low}..{high}"
        raise ContainerError(f"{path}: {what} must be {limits}, not {_brief(number)}")
    return number


def _payload_start(header_bytes: int) -> int:
    return -(-(_PREFIX + header_bytes) // ALIGNMENT) * ALIGNMENT


def _parse_header(path: Path, text: bytes) -> dict[str, Any]:
    try:
        header = json.loads(text)
    except (ValueError, RecursionError):
        raise ContainerError(f"{path}: header must be JSON, not {text[:20]!r}") from None
    return checked(path, "header", header, dict)


def _brief(value: object) -> str:
    if value is None:
        return "missing"
    try:
        text = json.dumps(value)
    except RecursionError:
        return "deeply nested"
    return text if len(text) <= 40 else text[:37] + "..."
