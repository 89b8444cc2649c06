"""Shapes that the number formats cannot hold, whatever the design."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from alula.ir.architecture import Architecture
from alula.ir.refusal import Refusal, refusal_table
from alula.isa.formats import GROUP


class UnsupportedShape(ValueError):
    """A model whose shape the machine cannot run; `refusals` says why, in full."""

    def __init__(self, refusals: Sequence[Refusal]) -> None:
        self.refusals = tuple(refusals)
        super().__init__(f"the model's shape is not supported:\n{refusal_table(self.refusals)}")


def refusals(architecture: Architecture) -> Iterator[Refusal]:
    """Every size that must be whole groups of 32 and is not."""
    sizes = {
        ("model", "hidden_size"): architecture.hidden_size,
        ("layers.*.mlp", "intermediate_size"): architecture.intermediate_size,
        ("layers.*.attn", "head_dim"): architecture.head_dim,
    }
    for (unit, name), size in sizes.items():
        if size % GROUP:
            padded = -(-size // GROUP) * GROUP
            yield Refusal(
                unit,
                f"{name} is not whole groups",
                f"a multiple of {GROUP}",
                str(size),
                f"{padded}, padded with zero weights",
            )


def check_limits(architecture: Architecture) -> None:
    """UnsupportedShape unless every size fits the formats."""
    found = list(refusals(architecture))
    if found:
        raise UnsupportedShape(found)
