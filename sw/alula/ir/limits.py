"""Shapes that no design can run: rows longer than the machine's units count."""

from collections.abc import Iterator, Sequence

from alula.design import GROUP
from alula.design.engines import MOST_ROW_GROUPS
from alula.ir.architecture import Architecture
from alula.ir.graph import whole_groups
from alula.ir.refusal import Refusal, refusal_table
from alula.isa.kv import STAGING_VALUES


class UnsupportedShape(ValueError):
    """A model whose shape the machine cannot run; `refusals` says why, in full, `lines` as text."""

    def __init__(self, refusals: Sequence[Refusal]) -> None:
        self.refusals = tuple(refusals)
        self.lines = (
            "the model's shape is not supported:",
            *refusal_table(self.refusals).split("\n"),
        )
        super().__init__("\n".join(self.lines))


MOST_ROW = MOST_ROW_GROUPS * GROUP
"""Elements of the longest row that is quantised, so of a matrix's inputs."""


def refusals(architecture: Architecture) -> Iterator[Refusal]:
    """Every size that no design has room for."""
    if whole_groups(architecture.head_dim) > STAGING_VALUES:
        size, limit = str(architecture.head_dim), f"at most {STAGING_VALUES}"
        yield Refusal("layers.*.attn", "heads are too long", limit, size, "shorter heads")
    for name, (_, inputs) in architecture.projections.items():
        if inputs > MOST_ROW:
            reason, limit = "too many inputs", f"at most {MOST_ROW:,}"
            nearest = "a model of shorter rows, or --map with all layers on torch"
            yield Refusal(f"layers.*.{name}", reason, limit, f"{inputs:,}", nearest)


def check_limits(architecture: Architecture) -> None:
    """UnsupportedShape unless every row is as short as the machine's units want."""
    found = list(refusals(architecture))
    if found:
        raise UnsupportedShape(found)
