"""The layer IR: what one token passes through, as nodes over named values.

A graph has three sections: `embed`, one `layer` (all layers are alike), `head`. A value is a row
for each token; a node may update a value in place, so a name is also the name of its buffer.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from alula.design import GROUP
from alula.ir.architecture import Architecture

FP32 = "fp32"
A8 = "a8"
CACHE = "cache"


def whole_groups(elements: int) -> int:
    """Elements rounded up to whole groups of 32."""
    return -(-elements // GROUP) * GROUP


@dataclass(frozen=True)
class Value:
    """A row of `width` elements for each token, of a kind: fp32, a8 (quantised) or the KV cache."""

    name: str
    kind: str
    width: int

    @property
    def groups(self) -> int:
        """Groups of 32 that hold a row; zeros fill the last."""
        return whole_groups(self.width) // GROUP


@dataclass(frozen=True)
class Node:
    """One operation of a unit of the model, `layers.*` standing for any layer.

    `op` is one of `alula.ir.legality.OPS`; `parameters` are the tensors it reads besides `inputs`.
    """

    op: str
    unit: str
    inputs: tuple[str, ...]
    output: str
    parameters: tuple[str, ...] = ()
    heads: int = 0


@dataclass(frozen=True)
class Graph:
    """Three sections of nodes and the values they use. `stage` is the last pass that ran."""

    architecture: Architecture
    stage: str
    values: Mapping[str, Value]
    sections: Mapping[str, tuple[Node, ...]] = field(default_factory=dict)

    def nodes(self) -> Iterator[Node]:
        """All nodes, embed first."""
        for section in self.sections.values():
            yield from section

    def width(self, name: str) -> int:
        """Elements of a token's row of a value."""
        return self.values[name].width
