"""A sweep's rows as files: JSON, CSV and a plot."""

import json
from collections.abc import Sequence
from pathlib import Path

from alula.explore.pareto import plot
from alula.explore.row import Row
from alula.explore.table import csv_text
from alula.folders import new_folder

__all__ = ["save"]


def save(rows: Sequence[Row], name: str, place: Path) -> None:
    """Write NAME.json, NAME.csv and NAME.png to a new folder, whole or not at all.

    Raises:
        OSError: it cannot be written.
    """
    with new_folder(place) as folder:
        text = json.dumps([row.as_dict() for row in rows], indent=1, allow_nan=False)
        (folder / f"{name}.json").write_text(text + "\n")
        (folder / f"{name}.csv").write_text(csv_text(rows))
        plot(rows, name, folder / f"{name}.png")
