"""The GGUF container: metadata, tensor table, and tensors by name.

The package ``gguf`` knows the weight types; its reader walks metadata an element at a time and
trusts every length in the file. This one checks each length against the file first, and takes a
vocabulary in milliseconds.
"""

import math
import os
from dataclasses import dataclass
from mmap import ACCESS_READ, mmap
from pathlib import Path
from struct import Struct
from typing import Any

import numpy as np
from gguf.constants import GGML_QUANT_SIZES, GGMLQuantizationType, GGUFValueType
from numpy.typing import NDArray

from alula.files import open_regular
from alula.frontend.gguf_values import values
from alula.frontend.refusal import FrontendError

MAGIC = b"GGUF"
VERSIONS = (2, 3)
MAX_DIMENSIONS = 4
MOST_HEADER_BYTES = 64 << 20
"""Of metadata and tensor table: several times the largest vocabulary with its merges."""
MOST_ROWS = 1 << 16
"""Metadata keys, and tensors."""
MOST_ELEMENTS = 1 << 22
"""Of all arrays of the metadata together."""

_EMPTY = Struct("<4sIQQ")
"""The first bytes: magic, version, tensors, metadata keys."""
_SCALARS = {
    GGUFValueType.UINT8: "<u1",
    GGUFValueType.INT8: "<i1",
    GGUFValueType.UINT16: "<u2",
    GGUFValueType.INT16: "<i2",
    GGUFValueType.UINT32: "<u4",
    GGUFValueType.INT32: "<i4",
    GGUFValueType.FLOAT32: "<f4",
    GGUFValueType.UINT64: "<u8",
    GGUFValueType.INT64: "<i8",
    GGUFValueType.FLOAT64: "<f8",
    GGUFValueType.BOOL: "?",
}


@dataclass(frozen=True)
class GgufTensor:
    """A row of the tensor table: shape outermost first, byte offset from the start of the file."""

    name: str
    shape: tuple[int, ...]
    kind: GGMLQuantizationType
    offset: int
    size: int


class GgufFile:
    """A GGUF file, its header read and checked, its tensors left on disk.

    Attributes:
        metadata: Every key with its value: int, float, bool, str or a list of those.
        tensors: `GgufTensor` by name.

    Raises:
        FrontendError: The file cannot be read, is no GGUF file, or ends early.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            with open_regular(path) as file:
                status = os.fstat(file.fileno())
                content = mmap(file.fileno(), 0, access=ACCESS_READ) if status.st_size else b""
        except OSError as error:
            raise FrontendError(
                f"{path} must be readable, not {error.strerror or error}"
            ) from error
        self._bytes = np.frombuffer(content, dtype=np.uint8)
        cursor = _Cursor(memoryview(content), path)
        magic = cursor.take(4)
        if magic != MAGIC:
            raise FrontendError(f"the first bytes must be {MAGIC!r}, not {magic!r} ({path})")
        version = cursor.scalar("<u4")
        if version not in VERSIONS:
            swapped = int.from_bytes(version.to_bytes(4, "big"), "little")
            name = "big-endian" if swapped in VERSIONS else str(version)
            raise FrontendError(f"the GGUF version must be 2 or 3, not {name} ({path})")
        tensor_count, key_count = cursor.scalar("<u8"), cursor.scalar("<u8")
        start = cursor.at
        self.metadata = self._read_metadata(cursor, key_count)
        self._head = _EMPTY.pack(MAGIC, version, 0, key_count), start, cursor.at
        self.tensors = self._read_tensors(cursor, tensor_count)

    def _read_metadata(self, cursor: "_Cursor", count: int) -> dict[str, Any]:
        metadata: dict[str, Any] = {}
        cursor.check_count(count, 13, "metadata keys")
        cursor.check_most(count, MOST_ROWS, "metadata keys")
        for _ in range(count):
            key = cursor.string("metadata key")
            if key in metadata:
                raise FrontendError(
                    f"metadata keys must be unique, not twice {key!r} ({self.path})"
                )
            metadata[key] = cursor.value(cursor.value_type(key), key)
        return metadata

    def _read_tensors(self, cursor: "_Cursor", count: int) -> dict[str, GgufTensor]:
        cursor.check_count(count, 24, "tensors")
        cursor.check_most(count, MOST_ROWS, "tensors")
        rows = [self._read_row(cursor) for _ in range(count)]
        alignment = self.metadata.get("general.alignment", 32)
        if not isinstance(alignment, int) or alignment <= 0 or alignment & (alignment - 1):
            raise FrontendError(
                f"general.alignment must be a power of two, not {alignment!r} ({self.path})"
            )
        start = -(-cursor.at // alignment) * alignment
        tensors: dict[str, GgufTensor] = {}
        for name, shape, kind, offset in rows:
            if name in tensors:
                raise FrontendError(
                    f"tensor names must be unique, not twice {name!r} ({self.path})"
                )
            block, block_size = GGML_QUANT_SIZES[kind]
            if shape[-1] % block:
                raise FrontendError(
                    f"{name} must have rows of a multiple of {block} for {kind.name}, "
                    f"not {shape[-1]} ({self.path})"
                )
            size = math.prod(shape) // block * block_size
            if offset % alignment or start + offset + size > len(self._bytes):
                raise FrontendError(
                    f"{name} must lie in the file of {len(self._bytes)} bytes, not {size} bytes "
                    f"at {start + offset} (truncated or corrupt: {self.path})"
                )
            tensors[name] = GgufTensor(name, shape, kind, start + offset, size)
        return tensors

    def _read_row(
        self, cursor: "_Cursor"
    ) -> tuple[str, tuple[int, ...], GGMLQuantizationType, int]:
        name = cursor.string("tensor name")
        dimensions = cursor.scalar("<u4")
        if not 1 <= dimensions <= MAX_DIMENSIONS:
            raise FrontendError(
                f"{name} must have 1 to {MAX_DIMENSIONS} dimensions, not {dimensions} ({self.path})"
            )
        shape = tuple(cursor.scalar("<u8") for _ in range(dimensions))[::-1]
        if 0 in shape:
            raise FrontendError(f"{name} must not be empty, not of shape {shape} ({self.path})")
        number = cursor.scalar("<u4")
        try:
            kind = GGMLQuantizationType(number)
        except ValueError:
            raise FrontendError(
                f"{name} must have a known weight type, not number {number} ({self.path})"
            ) from None
        return name, shape, kind, cursor.scalar("<u8")

    def without_tensors(self) -> bytes:
        """A GGUF file with this one's metadata and no tensors."""
        head, start, end = self._head
        return head + self._bytes[start:end].tobytes()

    def read(self, name: str) -> NDArray[np.float32]:
        """A tensor of a `readable` type as float32. KeyError if there is no such tensor."""
        tensor = self.tensors[name]
        block, block_size = GGML_QUANT_SIZES[tensor.kind]
        stored = self._bytes[tensor.offset : tensor.offset + tensor.size]
        rows = stored.reshape(*tensor.shape[:-1], tensor.shape[-1] // block * block_size)
        return values(rows, tensor.kind)


class _Cursor:
    """Bounded reads from the front of a file."""

    def __init__(self, view: memoryview, path: Path) -> None:
        self.view = view
        self.path = path
        self.at = 0
        self.elements = 0

    def _end(self, size: int) -> int:
        end = self.at + size
        if MOST_HEADER_BYTES < end <= len(self.view):
            raise FrontendError(
                f"metadata and tensor table must be at most {MOST_HEADER_BYTES} bytes, not {end} "
                f"({self.path})"
            )
        if end > len(self.view):
            raise FrontendError(
                f"the file must go on after byte {len(self.view)}, not end {end - len(self.view)} "
                f"bytes early (truncated or corrupt: {self.path})"
            )
        return end

    def take(self, size: int) -> bytes:
        end = self._end(size)
        taken = bytes(self.view[self.at : end])
        self.at = end
        return taken

    def scalar(self, dtype: str) -> Any:
        kind = np.dtype(dtype)
        return np.frombuffer(self.take(kind.itemsize), dtype=kind)[0].item()

    def check_count(self, count: int, least: int, what: str) -> None:
        """Refuses a count that even elements of the ``least`` size would not fit behind it."""
        if count * least > len(self.view) - self.at:
            raise FrontendError(
                f"the file must hold its {count} {what}, not end before "
                f"(truncated or corrupt: {self.path})"
            )

    def check_most(self, count: int, most: int, what: str) -> None:
        """Refuses more than anything that is read could need."""
        if count > most:
            raise FrontendError(
                f"the file must have at most {most} {what}, not {count} ({self.path})"
            )

    def string(self, what: str) -> str:
        length = int.from_bytes(self.take(8), "little")
        try:
            return self.take(length).decode()
        except UnicodeDecodeError:
            raise FrontendError(f"a {what} must be UTF-8, not other bytes ({self.path})") from None

    def value_type(self, key: str) -> GGUFValueType:
        number = self.scalar("<u4")
        try:
            return GGUFValueType(number)
        except ValueError:
            raise FrontendError(
                f"{key} must have a known value type, not number {number} ({self.path})"
            ) from None

    def value(self, kind: GGUFValueType, key: str) -> Any:
        if kind is GGUFValueType.STRING:
            return self.string(f"string in {key}")
        if kind is not GGUFValueType.ARRAY:
            return self.scalar(_SCALARS[kind])
        element, count = self.value_type(key), self.scalar("<u8")
        if element is GGUFValueType.ARRAY:
            raise FrontendError(f"{key} must be a flat array, not one of arrays ({self.path})")
        self.elements += count
        self.check_most(self.elements, MOST_ELEMENTS, "elements of arrays")
        if element is GGUFValueType.STRING:
            self.check_count(count, 8, f"strings of {key}")
            return [self.string(f"string in {key}") for _ in range(count)]
        dtype = np.dtype(_SCALARS[element])
        self.check_count(count, dtype.itemsize, f"elements of {key}")
        return np.frombuffer(self.take(count * dtype.itemsize), dtype=dtype).tolist()
