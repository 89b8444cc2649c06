"""Answers that are kept as they come, by what they depend on: a SQLite file that sweeps share."""

import hashlib
import json
import sqlite3
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any, Self

from alula.explore.row import Row
from alula.folders import cache_folder

_APPLICATION = 0x616C756C
"""In the file's head, by which such a store is known: "alul"."""
_LAYOUT = 1
_PATIENCE_S = 60
"""How long another sweep may hold the file."""
_AT_ONCE = 500
"""Keys of a question to SQLite."""


class StoreError(ValueError):
    """A file that is no store of sweeps. Its text is one line."""


def default_store() -> Path:
    """Return the store that is used where none is named, in the cache."""
    return cache_folder() / "sweeps" / "rows.sqlite"


class RowStore:
    """Rows by key. Several sweeps may read and write one at once."""

    def __init__(self, connection: sqlite3.Connection, place: Path) -> None:
        self._connection = connection
        self.place = place

    @classmethod
    @contextmanager
    def opened(cls, place: Path) -> Iterator[Self]:
        """Give a store, which is made if there is no file.

        Raises:
            StoreError: the file is something else, or of another version.
            OSError: it cannot be written.
        """
        place.parent.mkdir(parents=True, exist_ok=True)
        if not place.exists():
            place.touch()
        # SQLite's own errors do not say what the system refused.
        with place.open("r+b"):
            pass
        connection = sqlite3.connect(place, timeout=_PATIENCE_S, isolation_level=None)
        with closing(connection):
            try:
                _prepare(connection, place)
            except sqlite3.DatabaseError as error:
                raise _foreign(place, error) from None
            yield cls(connection, place)

    def find(self, keys: Sequence[str]) -> dict[str, dict[str, Any]]:
        """Return the results that are there, by key; a damaged one is not.

        Raises:
            StoreError: the file is damaged.
        """
        found = {}
        with self._guarded():
            for start in range(0, len(keys), _AT_ONCE):
                some = keys[start : start + _AT_ONCE]
                marks = ",".join("?" * len(some))
                asked = f"SELECT key, results, digest FROM rows WHERE key IN ({marks})"
                for key, text, digest in self._connection.execute(asked, some):
                    if digest == _digest(key, text):
                        found[key] = json.loads(text)
        return found

    def add(self, rows: Iterable[tuple[str, Row]]) -> None:
        """Keep rows: they are in the file when this returns.

        Raises:
            StoreError: the file is damaged, or another process holds it for too long.
            OSError: there is no room.
        """
        lines = []
        for key, row in rows:
            text = json.dumps(row.results(), allow_nan=False)
            lines.append((key, text, _digest(key, text)))
        with self._guarded():
            self._connection.execute("BEGIN IMMEDIATE")
            try:
                self._connection.executemany("INSERT OR REPLACE INTO rows VALUES (?, ?, ?)", lines)
                self._connection.execute("COMMIT")
            except BaseException:
                if self._connection.in_transaction:
                    self._connection.execute("ROLLBACK")
                raise

    @contextmanager
    def _guarded(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.OperationalError as error:
            if "disk is full" in str(error):
                raise OSError(28, "No space left on device", str(self.place)) from None
            raise StoreError(f"{self.place} must be free to read and write: {error}") from None
        except sqlite3.DatabaseError as error:
            raise _foreign(self.place, error) from None


def restored(
    keys: Mapping[int, str], values: Mapping[int, Mapping[str, Any]], store: RowStore | None
) -> dict[int, Row]:
    """Return the rows of points that a store has, by number. What failed is tried again.

    Args:
        keys: of the points, by number.
        values: of their axes, by number.
        store: where they may be.
    """
    if store is None:
        return {}
    found = store.find(list(keys.values()))
    rows = {
        number: Row.restored(values[number], found[key])
        for number, key in keys.items()
        if key in found
    }
    return {number: row for number, row in rows.items() if row is not None and row.failed is None}


def _prepare(connection: sqlite3.Connection, place: Path) -> None:
    """Make a new store's table, or see that it is a store's. DatabaseError if it is none at all."""
    connection.execute("BEGIN IMMEDIATE")
    try:
        (application,) = connection.execute("PRAGMA application_id").fetchone()
        (layout,) = connection.execute("PRAGMA user_version").fetchone()
        (tables,) = connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
        if (application, tables) == (0, 0):
            connection.execute(
                "CREATE TABLE rows (key TEXT PRIMARY KEY, results TEXT NOT NULL, "
                "digest TEXT NOT NULL) WITHOUT ROWID"
            )
            connection.execute(f"PRAGMA application_id = {_APPLICATION}")
            connection.execute(f"PRAGMA user_version = {_LAYOUT}")
        elif application != _APPLICATION:
            raise StoreError(f"{place} must be a store of sweeps, not another database")
        elif layout != _LAYOUT:
            raise StoreError(f"{place} must be a store of layout {_LAYOUT}, not {layout}")
        connection.execute("COMMIT")
    except BaseException:
        connection.execute("ROLLBACK")
        raise
    connection.execute("PRAGMA journal_mode = WAL")


def _foreign(place: Path, error: sqlite3.DatabaseError) -> StoreError:
    return StoreError(f"{place} must be a store of sweeps, not something else: {error}")


def _digest(key: str, text: str) -> str:
    return hashlib.sha256(f"{key}\n{text}".encode()).hexdigest()
