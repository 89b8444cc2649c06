"""Rows that are kept as they come: what a second start finds, and what it does not believe."""

import sqlite3
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from alula.explore.row import Row
from alula.explore.shortfall import Shortfall
from alula.explore.store import RowStore, StoreError, restored

SHORT = Shortfall("LUT", 3.0, 2.0, 1.0, "", "fewer")
ROWS = {
    "a": Row(
        {"x": 1}, tokens_per_s=1 / 3, errors={"lut": 0.1, "mhz": None}, extrapolated=["cores"]
    ),
    "b": Row({"x": 2}, shortfall=SHORT),
    "c": Row({"x": 3}, failed="its process was killed"),
}
VALUES = {number: row.values for number, row in enumerate(ROWS.values())}
KEYS = dict(enumerate(ROWS))


def test_rows_come_back_and_what_failed_is_tried_again(tmp_path: Path) -> None:
    place = tmp_path / "new" / "rows.sqlite"
    with RowStore.opened(place) as store:
        store.add(ROWS.items())
        store.add([("a", ROWS["a"])])
    with RowStore.opened(place) as store:
        assert restored(KEYS, VALUES, store) == {0: ROWS["a"], 1: ROWS["b"]}
        assert restored({0: "none"}, VALUES, store) == {}
    assert restored(KEYS, VALUES, None) == {}


def test_a_row_of_another_version_is_none(tmp_path: Path) -> None:
    assert Row.restored({}, ROWS["a"].results() | {"speed": 1}) is None


def test_more_keys_than_one_question_holds(tmp_path: Path) -> None:
    with RowStore.opened(tmp_path / "s") as store:
        store.add((f"k{number}", Row({}, lut=float(number))) for number in range(1300))
        found = store.find([f"k{number}" for number in range(1300)])
        assert {key: value["lut"] for key, value in found.items()} == {
            f"k{number}": number for number in range(1300)
        }


@pytest.fixture(scope="module")
def stored(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    place = tmp_path_factory.mktemp("store") / "s"
    with RowStore.opened(place) as store:
        store.add(ROWS.items())
    return place.read_bytes()


@settings(max_examples=60)
@given(place=st.integers(0, 1 << 20), bit=st.integers(0, 7), cut=st.booleans())
def test_a_damaged_row_is_none(
    tmp_path_factory: pytest.TempPathFactory, stored: bytes, place: int, bit: int, cut: bool
) -> None:
    """Whatever bit is wrong, or wherever the end was lost, a row is right or is not there."""
    file = tmp_path_factory.mktemp("store") / "s"
    data = bytearray(stored)
    place %= len(data)
    if cut:
        del data[place:]
    else:
        data[place] ^= 1 << bit
    file.write_bytes(data)
    found = {}
    with suppress(StoreError), RowStore.opened(file) as store:
        found = restored(KEYS, VALUES, store)
    assert all(row == ROWS[KEYS[number]] for number, row in found.items())


def test_what_is_no_store_is_left_alone(tmp_path: Path) -> None:
    text = tmp_path / "thesis.txt"
    text.write_text("mine, and long enough to be a page of a database" * 100)
    with pytest.raises(StoreError, match=r"thesis.txt must be a store of sweeps, not something"):
        RowStore.opened(text).__enter__()
    assert text.read_text().startswith("mine, and")
    other = tmp_path / "other.sqlite"
    with sqlite3.connect(other) as connection:
        connection.execute("CREATE TABLE mine (x)")
    connection.close()
    before = other.read_bytes()
    with pytest.raises(StoreError, match=r"must be a store of sweeps, not another database$"):
        RowStore.opened(other).__enter__()
    assert other.read_bytes() == before
    with RowStore.opened(tmp_path / "old") as store:
        store.add([("a", ROWS["a"])])
    connection = sqlite3.connect(tmp_path / "old")
    connection.execute("PRAGMA user_version = 99")
    connection.close()
    with pytest.raises(StoreError, match=r"must be a store of layout 1, not 99$"):
        RowStore.opened(tmp_path / "old").__enter__()


def test_a_folder_is_no_store(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="directory"):
        RowStore.opened(tmp_path).__enter__()


WRITER = """
import sys
from contextlib import suppress
from pathlib import Path
from alula.explore.row import Row
from alula.explore.store import RowStore
place, name = sys.argv[1:]
with RowStore.opened(Path(place)) as store:
    for number in range(150):
        store.add([(f"{name}{number}", Row({}, lut=float(number))), ("shared", Row({}, lut=1.0))])
"""


def test_several_may_write_at_once(tmp_path: Path) -> None:
    place = tmp_path / "s"
    words = [[sys.executable, "-c", WRITER, str(place), name] for name in "abc"]
    started = [subprocess.Popen(one) for one in words]
    assert [one.wait(timeout=120) for one in started] == [0, 0, 0]
    with RowStore.opened(place) as store:
        keys = [f"{name}{number}" for name in "abc" for number in range(150)]
        assert len(store.find([*keys, "shared"])) == 451
