"""Rows of a sweep as tables: for files all of them, for people the front."""

import csv
import io
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from alula.explore.objectives import OBJECTIVES, OF_WEIGHTS
from alula.explore.row import Row
from alula.explore.run import Found


def flat_rows(found: Found) -> list[dict[str, Any]]:
    """Return all rows as plain values by column, points in order; all have the same columns."""
    rows = [_flat(found, number) for number in sorted(found.rows)]
    names = dict.fromkeys(name for row in rows for name in row)
    return [{name: row.get(name) for name in names} for row in rows]


def csv_text(found: Found) -> str:
    """Return all rows as CSV with a head; a field without a value is empty."""
    rows, text = flat_rows(found), io.StringIO()
    writer = csv.DictWriter(text, list(rows[0]) if rows else [], lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()


def summary(found: Found, rows: Iterable[Row]) -> tuple[list[str], list[list[str]]]:
    """Return head and cells of a table of rows: axes, objectives with their error, and the word."""
    sweep = found.space.sweep
    names = list(sweep.objectives)
    head = [*found.space.names, *(_title(name) for name in names), "clock", "cycles are"]
    cells = []
    for row in rows:
        numbers = [with_error(row, name) for name in names]
        clock = f"{row.mhz:,.0f} {row.clock}"
        cells.append([*map(shown, row.values.values()), *numbers, clock, row.how])
    return head, cells


def with_error(row: Row, name: str) -> str:
    """Return a number of a row with its error bound, such as "164.6 ±1.5%"."""
    value, error = getattr(row, name), row.errors.get(name)
    if value is None:
        return "-"
    exact = error == 0 or name in ("bytes", *OF_WEIGHTS)
    bound = "" if exact else " ±?" if error is None else f" ±{error:.1%}"
    return f"{value:,.5g}{bound}"


def shown(value: Any) -> str:
    """Return a value of an axis as a few words."""
    if isinstance(value, Mapping):
        return ", ".join(f"{name} {one}" for name, one in value.items())
    return "-" if value is None else str(value)


def nearest(rows: Iterable[Row]) -> Row | None:
    """Return the row that falls short by the least share of its bound; None if none has a gap."""
    found = [row for row in rows if row.shortfall is not None and row.shortfall.gap is not None]
    return min(found, key=_share, default=None)


def causes(rows: Sequence[Row]) -> list[tuple[str, int, Row]]:
    """Return why points cannot be: what falls short, how often, and the row that misses least."""
    by_what: dict[str, list[Row]] = {}
    for row in rows:
        if row.shortfall is not None:
            by_what.setdefault(row.shortfall.what, []).append(row)
    counted = [(what, len(some), nearest(some) or some[0]) for what, some in by_what.items()]
    return sorted(counted, key=lambda item: -item[1])


def _share(row: Row) -> float:
    short = row.shortfall
    assert short is not None
    assert short.gap is not None
    bound = short.bound if isinstance(short.bound, float | int) else 1.0
    return short.gap / max(abs(bound), 1e-30)


def _title(name: str) -> str:
    one = OBJECTIVES[name]
    return f"{one.title} ({one.unit})" if one.unit and "/" not in one.title else one.title


def _flat(found: Found, number: int) -> dict[str, Any]:
    row = found.rows[number]
    plain: dict[str, Any] = {"point": number, "front": number in found.front_numbers}
    for name, value in row.values.items():
        plain[name] = json.dumps(value) if isinstance(value, Mapping) else value
    plain |= dict(_flattened(row.results()))
    plain["reason"] = row.reason
    return plain


def _flattened(values: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for name, value in values.items():
        if isinstance(value, Mapping):
            yield from _flattened(value, f"{prefix}{name}.")
        elif isinstance(value, list):
            yield f"{prefix}{name}", " ".join(map(str, value))
        elif prefix == "shortfall." and name in ("demand", "bound"):
            yield f"{prefix}{name}", str(value)
        else:
            yield f"{prefix}{name}", value
