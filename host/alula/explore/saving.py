"""A sweep's rows as files: JSON, CSV and a plot."""

import json
import os
import tempfile
from collections.abc import Sequence
from pathlib import Path

from alula.explore.pareto import plot
from alula.explore.row import Row
from alula.explore.table import csv_text

__all__ = ["save"]


def save(rows: Sequence[Row], name: str, folder: Path) -> None:
    """Write NAME.json, NAME.csv and NAME.png into a folder, each whole or not at all.

    Raises:
        OSError: they cannot be written.
    """
    text = json.dumps([row.as_dict() for row in rows], indent=1, allow_nan=False)
    with tempfile.TemporaryDirectory(prefix=f".{name}.", dir=folder) as temporary:
        made = Path(temporary)
        (made / f"{name}.json").write_text(text + "\n", encoding="utf-8")
        (made / f"{name}.csv").write_text(csv_text(rows), encoding="utf-8")
        plot(rows, name, made / f"{name}.png")
        for path in sorted(made.iterdir()):
            os.replace(path, folder / path.name)
