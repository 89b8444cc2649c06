"""What is not supported, as values: a line for each thing a model asks for in vain."""

from collections.abc import Sequence
from dataclasses import astuple, dataclass

from alula.printable import printable


@dataclass(frozen=True)
class Refusal:
    """One thing a model asks for that is not supported.

    Args:
        unit: The part of the model: ``"model"``, ``"layers.3"``, ``"layers.3.attn.q"``, ...
        reason: What about it is not supported.
        limit: What is.
        actual: What the model has.
        nearest: The nearest supported form, or what to do.
    """

    unit: str
    reason: str
    limit: str
    actual: str
    nearest: str


def refusal_table(refusals: Sequence[Refusal]) -> str:
    """The refusals as lines of aligned text under a heading."""
    rows: list[tuple[str, ...]] = [("unit", "reason", "limit", "actual", "nearest supported form")]
    rows += [tuple(map(printable, astuple(refusal))) for refusal in refusals]
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    rows.insert(1, tuple("-" * width for width in widths))
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in rows
    )
