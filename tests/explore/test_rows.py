"""Rows, their front, and what is made of them."""

import csv
import io
import json
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from alula.explore.pareto import front
from alula.explore.row import Row
from alula.explore.saving import save
from alula.explore.table import csv_text, summary


def row(time: float | None, share: float | None, reason: str | None = None) -> Row:
    return Row({"mpe.tokens": 2}, decode_us=time, share=share, lut=10, reason=reason)


ROWS = [row(1.0, 0.5), row(2.0, 0.25), row(2.0, 0.5), row(0.5, 0.1, "no"), row(None, None, "x")]


def test_front() -> None:
    assert front(ROWS) == {0, 1}
    assert front([row(1.0, 0.5), row(1.0, 0.5)]) == {0, 1}
    assert front([]) == set()


@given(st.lists(st.tuples(st.integers(1, 9), st.integers(1, 9)), max_size=12))
def test_every_row_is_on_the_front_or_beaten_from_it(places: list[tuple[int, int]]) -> None:
    rows = [row(time, share) for time, share in places]
    best = front(rows)
    for number, own in enumerate(places):
        beaten = [n for n in best if places[n] != own and all(map(int.__le__, places[n], own))]
        assert bool(beaten) != (number in best)


def test_decode_and_prefill_count_together() -> None:
    both = Row({}, decode_us=1.5, prefill_us=2.0)
    assert (both.microseconds, Row({}).microseconds) == (3.5, None)


def test_table_and_files(tmp_path: Path) -> None:
    head, cells = summary(ROWS)
    assert head[0] == "mpe.tokens"
    assert [line[-1] for line in cells] == ["*", "*", "", "no", "x"]
    read = list(csv.DictReader(io.StringIO(csv_text(ROWS))))
    assert [line["decode_us"] for line in read] == ["1.0", "2.0", "2.0", "0.5", ""]
    assert {line["source"] for line in read} == {"simulated"}
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "s.csv").symlink_to(tmp_path / "mine.csv")
    save(ROWS, "s", tmp_path / "out")
    assert (tmp_path / "mine.csv").read_text() == csv_text(ROWS)
    assert {path.name for path in (tmp_path / "out").iterdir()} == {"s.json", "s.csv", "s.png"}
    assert json.loads((tmp_path / "out" / "s.json").read_text())[4]["reason"] == "x"
    assert (tmp_path / "out" / "s.png").read_bytes().startswith(b"\x89PNG")
