"""The rows of a sweep in its folder, each kept as soon as it is there."""

import fcntl
import hashlib
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from io import FileIO
from pathlib import Path
from typing import Any

from alula.design import DesignError
from alula.explore.row import Row
from alula.explore.space import Point
from alula.sources import sources_id
from alula.synth import SynthError
from alula.synth.tools import yosys

FILE = "rows.jsonl"
_MARK = b'{"alula": "rows of a sweep", "version": 1}\n'
"""The first line, by which such a file is known."""
_PACKAGES = (
    "alula.design",
    "alula.isa",
    "alula.gateware",
    "alula.synth",
    "alula.rtl",
    "alula.model",
    "alula.ir",
    "alula.quant",
    "alula.mapper",
    "alula.codegen",
    "alula.explore",
)


class StoreError(ValueError):
    """A folder that cannot keep the rows of this sweep. Its text is one line."""


def key_of(point: Point) -> str:
    """Return the name of a point's row: a hash of everything that the row depends on."""
    try:
        design = point.design.model_dump_json(exclude={"name"})
    except DesignError as error:
        design = str(error)
    layer, workload = point.sweep.layer, point.sweep.workload
    parts = (*_makers(), design, layer.model_dump_json(), workload.model_dump_json())
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:32]


@cache
def _makers() -> tuple[str, str]:
    """Return the versions of what makes rows: Alula's own code, and Yosys."""
    try:
        synthesiser = yosys().version
    except SynthError:
        synthesiser = "none"
    return sources_id(*_PACKAGES), synthesiser


class Store:
    """Rows by key, in a file of one JSON object a line. Made by `opened`."""

    def __init__(self, file: FileIO, rows: dict[str, dict[str, Any]]) -> None:
        self._file = file
        self._rows = rows

    def find(self, point: Point) -> Row | None:
        """Return the row of a point if it is there and complete. What failed is tried again."""
        found = self._rows.get(key_of(point))
        row = Row.restored(point.values, found) if found else None
        return row if row and row.complete else None

    def add(self, point: Point, row: Row) -> None:
        """Keep a row: it is on the disk when this returns. OSError if it cannot be written."""
        key, results = key_of(point), row.results()
        self._rows[key] = results
        line = {"key": key, "row": results, "sha256": _digest(key, results)}
        _append(self._file, json.dumps(line, allow_nan=False).encode() + b"\n")


@contextmanager
def opened(folder: Path) -> Iterator[Store]:
    """Give the store of a folder, which is made, or has the rows of an earlier start.

    Raises:
        StoreError: the folder holds something else, or another process works in it.
        OSError: it cannot be written.
    """
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / FILE
    if not path.exists() and any(folder.iterdir()):
        wanted = "a new or empty folder, or one with the rows of a sweep"
        raise StoreError(f"--out must be {wanted}, not {folder}")
    with FileIO(path, "a+") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise StoreError(f"one sweep at a time must work in {folder}, not two") from None
        file.seek(0)
        data = file.read()
        if data[: len(_MARK)] != _MARK[: len(data)]:
            raise StoreError(f"{path} must be the rows of a sweep, not something else")
        # A line without its end was being written when an earlier start was killed.
        whole = data[: data.rfind(b"\n") + 1]
        file.truncate(len(whole))
        if not whole:
            _append(file, _MARK)
        lines = map(_parsed, whole.splitlines()[1:])
        yield Store(file, {line["key"]: line["row"] for line in lines if _whole(line)})


def _append(file: FileIO, line: bytes) -> None:
    """Write a line, and wait until it is on the disk. OSError if it cannot be written."""
    while line:
        line = line[file.write(line) or 0 :]
    os.fsync(file)


def _parsed(line: bytes) -> Any:
    try:
        return json.loads(line)
    except (ValueError, RecursionError):
        return None


def _whole(line: Any) -> bool:
    """Whether a line is what was written; a damaged one counts as none."""
    return (
        isinstance(line, dict)
        and line.keys() == {"key", "row", "sha256"}
        and isinstance(line["key"], str)
        and isinstance(line["row"], dict)
        and line["sha256"] == _digest(line["key"], line["row"])
    )


def _digest(key: Any, results: Any) -> str:
    text = json.dumps([key, results], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()
