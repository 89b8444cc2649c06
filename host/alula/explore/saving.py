"""A sweep's rows as files: JSON, CSV and a plot."""

import json
from collections.abc import Sequence
from io import BytesIO
from pathlib import Path

from alula.explore.pareto import plot
from alula.explore.row import Row
from alula.explore.table import csv_text
from alula.folders import new_file


def save(rows: Sequence[Row], name: str, folder: Path) -> None:
    """Write NAME.json, NAME.csv and NAME.png into a folder, each whole or not at all.

    Raises:
        OSError: they cannot be written.
    """
    text = json.dumps([row.as_dict() for row in rows], indent=1, allow_nan=False) + "\n"
    picture = BytesIO()
    plot(rows, name, picture)
    texts = {"json": text.encode(), "csv": csv_text(rows).encode(), "png": picture.getvalue()}
    for kind, content in texts.items():
        with new_file(folder / f"{name}.{kind}") as file:
            file.write(content)
