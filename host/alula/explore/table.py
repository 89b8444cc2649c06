"""A sweep's rows as text."""

import csv
import io
from collections.abc import Sequence

from alula.explore.pareto import front
from alula.explore.row import Row

_LONGEST = 120
_CUT = " ..."


def csv_text(rows: Sequence[Row]) -> str:
    """Return the rows as CSV with a head; a field without a value is empty."""
    text = io.StringIO()
    plain = [row.as_dict() for row in rows]
    writer = csv.DictWriter(text, list(plain[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(plain)
    return text.getvalue()


def in_one_line(reason: str) -> str:
    """Return a reason as one line of at most 120 letters; " ..." says that it goes on."""
    lines = (" ".join(line.split()) for line in reason.splitlines())
    text = " / ".join(line for line in lines if line)
    return text if len(text) <= _LONGEST else text[: _LONGEST - len(_CUT)] + _CUT


def summary(rows: Sequence[Row]) -> tuple[list[str], list[list[str]]]:
    """Return head and cells of a table for people; `*` marks the points on the Pareto front."""
    best = front(rows)
    clock = rows[0].clock
    times = (f"{phase} us ({clock} clock)" for phase in ("decode", "prefill"))
    head = [*rows[0].values, *times, "LUT", "DSP", "BRAM36", "URAM", "share", ""]
    cells = []
    for number, row in enumerate(rows):
        numbers = (row.decode_us, row.prefill_us, row.lut, row.dsp, row.bram36, row.uram)
        cells.append(
            [
                *map(str, row.values.values()),
                *("-" if value is None else f"{value:,.6g}" for value in numbers),
                "-" if row.share is None else f"{row.share:.0%}",
                in_one_line(row.reason) if row.reason else "*" if number in best else "",
            ]
        )
    return head, cells
