"""A sweep's results as files: JSON, CSV, Parquet and one page."""

import io
import json
from pathlib import Path
from typing import Any

from alula.explore.report.page import page
from alula.explore.report.tables import csv_text, flat_rows
from alula.explore.run import Found
from alula.folders import new_file
from alula.libraries import needed


def save(found: Found, folder: Path) -> list[Path]:
    """Write NAME.json, NAME.csv, NAME.parquet and NAME.html, each whole or not at all.

    Returns:
        The files.

    Raises:
        MissingLibrary: pyarrow is not installed.
        OSError: they cannot be written.
    """
    name = found.space.sweep.name
    texts = {
        "json": (json.dumps(as_dict(found), indent=1, allow_nan=False) + "\n").encode(),
        "csv": csv_text(found).encode(),
        "parquet": _parquet(flat_rows(found)),
        "html": page(found).encode(),
    }
    places = [folder / f"{name}.{kind}" for kind in texts]
    for place, content in zip(places, texts.values(), strict=True):
        with new_file(place) as file:
            file.write(content)
    return places


def as_dict(found: Found) -> dict[str, Any]:
    """Return what a sweep found as plain values."""
    numbers = sorted(found.rows)
    return {
        "sweep": found.space.sweep.name,
        "objectives": list(found.space.sweep.objectives),
        "points": found.space.count,
        "asked": found.asked,
        "kept": found.kept,
        "left_out": found.left_out,
        "exact": found.exact,
        "impossible": len(found.impossible),
        "failed": len(found.failed),
        "front": list(found.best),
        "references": [one.model_dump() for one in found.space.sweep.references],
        "rows": [{"point": number} | found.rows[number].as_dict() for number in numbers],
    }


def _parquet(rows: list[dict[str, Any]]) -> bytes:
    arrow, parquet = needed("pyarrow", "pyarrow"), needed("pyarrow", "pyarrow.parquet")
    plain = [{name: _plain(value) for name, value in row.items()} for row in rows]
    content = io.BytesIO()
    parquet.write_table(arrow.Table.from_pydict(_columns(plain)), content)
    return content.getvalue()


def _columns(rows: list[dict[str, Any]]) -> dict[str, list[Any]]:
    """Columns, each of one type: of several, text."""
    columns = {name: [row[name] for row in rows] for name in rows[0]} if rows else {}
    for name, values in columns.items():
        kinds = {type(value) for value in values if value is not None}
        if kinds == {int, float}:
            columns[name] = [None if value is None else float(value) for value in values]
        elif len(kinds) > 1:
            columns[name] = [None if value is None else str(value) for value in values]
    return columns


def _plain(value: Any) -> Any:
    return value if isinstance(value, bool | int | float | str | None) else str(value)
