"""What commands print for programs and for people."""

import json
from collections.abc import Iterable, Mapping, Sequence


def print_json(values: Mapping[str, object] | Sequence[object]) -> None:
    """Print one JSON value on one line."""
    print(json.dumps(values, ensure_ascii=False, allow_nan=False))


def print_table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """Print aligned columns under their heads."""
    lines = [head, *rows]
    widths = [max(len(line[column]) for line in lines) for column in range(len(head))]
    for line in lines:
        cells = (cell.ljust(width) for cell, width in zip(line, widths, strict=True))
        print("  ".join(cells).rstrip())
