"""Bands: consecutive rows of a matrix in one format, where a matrix has several.

The title of such a matrix names them in order with their rows: `W4 4:16 x 192 + W4 x 384`.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import groupby

from alula.isa.formats import MATRIX_FORMATS, WeightFormat

_JOINT = " + "
_BAND = re.compile(r"(.+) x ([1-9]\d{0,8})", re.ASCII)


@dataclass(frozen=True)
class Band:
    """Consecutive rows of a matrix in one format; `first` is the first of them."""

    format: WeightFormat
    first: int
    rows: int

    @property
    def span(self) -> slice:
        """Its rows."""
        return slice(self.first, self.first + self.rows)


def bands_of(title: str, rows: int) -> tuple[Band, ...]:
    """The bands of a matrix of so many rows; one where all rows have the same format.

    Raises:
        ValueError: the title is none, or is of another number of rows.
    """
    if title in MATRIX_FORMATS:
        return (Band(MATRIX_FORMATS[title], 0, rows),)
    found, first = [], 0
    for fmt, count in _parts(title):
        found.append(Band(fmt, first, count))
        first += count
    if first != rows:
        raise ValueError(f"bands must be of {rows} rows together, not of {first} ({title})")
    return tuple(found)


def formats_of(title: str) -> list[WeightFormat]:
    """The formats of a matrix, band by band. ValueError if the title is none."""
    if title in MATRIX_FORMATS:
        return [MATRIX_FORMATS[title]]
    return [fmt for fmt, _ in _parts(title)]


def title_of(parts: Iterable[tuple[str, int]]) -> str:
    """The title of a matrix from titles of formats and how many rows each has, in order."""
    found = [
        (title, sum(rows for _, rows in same))
        for title, same in groupby(parts, key=lambda part: part[0])
    ]
    if len(found) == 1:
        return found[0][0]
    return _JOINT.join(f"{title} x {rows}" for title, rows in found)


def _parts(title: str) -> list[tuple[WeightFormat, int]]:
    """Formats and rows of the bands of a title that has several."""
    found = [_BAND.fullmatch(part) for part in title.split(_JOINT)]
    parts = [(one[1], int(one[2])) for one in found if one and one[1] in MATRIX_FORMATS]
    if len(parts) < max(2, len(found)) or title_of(parts) != title:
        known = ", ".join(MATRIX_FORMATS)
        raise ValueError(f"a format must be one of {known}, or bands of them, not {title}")
    return [(MATRIX_FORMATS[name], rows) for name, rows in parts]
