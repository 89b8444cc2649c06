"""What commands print for programs and for people."""

import json
import re
import sys
import unicodedata
from collections.abc import Iterable, Mapping, Sequence

from alula.printable import printable


def print_json(values: Mapping[str, object] | Sequence[object]) -> None:
    """Print one JSON value on one line; what does not show itself is escaped as JSON does it.

    So is everything beyond ASCII where the output's encoding does not have all of it.
    """
    text = json.dumps(values, ensure_ascii=False, allow_nan=False)
    try:
        text.encode(sys.stdout.encoding)
    except UnicodeEncodeError:
        text = json.dumps(values, allow_nan=False)
    print(text if text.isprintable() else re.sub(r"[^ -~]", _json_escape, text))


def print_text(text: str = "", *, end: str = "\n") -> None:
    """Print text that comes from a model or a file, without its control characters.

    Lines stay lines, and everything that has a place in writing stays as it is.
    """
    shown = "".join(printable(one) if _controls(one) else one for one in text)
    print(shown, end=end, flush=True)


def print_table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """Print aligned columns under their heads."""
    lines = [head, *([printable(cell) for cell in row] for row in rows)]
    widths = [max(len(line[column]) for line in lines) for column in range(len(head))]
    for line in lines:
        cells = (cell.ljust(width) for cell, width in zip(line, widths, strict=True))
        print("  ".join(cells).rstrip())


def _json_escape(found: re.Match[str]) -> str:
    one = found.group()
    return one if one.isprintable() else json.dumps(one)[1:-1]


def _controls(one: str) -> bool:
    """Whether a terminal would obey a character, or no encoding has it."""
    return one not in "\n\t" and unicodedata.category(one) in ("Cc", "Cs")
