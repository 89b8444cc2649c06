"""Bytes that a token cannot do without: what any design must read from memory, and write to it."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

import numpy as np

from alula.design import GROUP
from alula.ir import Architecture, AttentionBlocks, Graph, Node, Precision
from alula.ir.bands import bands_of
from alula.ir.graph import whole_groups
from alula.ir.lower import lower
from alula.ir.padding import head_places
from alula.ir.passes import quantise
from alula.ir.precision import in_layer
from alula.isa.formats import DENSE, WeightFormat
from alula.mapper.memory import vector_lengths

_FP32, _BF16, _ID = 4, 2, 4


@dataclass(frozen=True)
class Traffic:
    """Bytes at the stored precision, without any padding. They do not depend on the design.

    Attributes:
        layers: of each layer its matrices with their scales and mins, and its vectors.
        head: the same of the final norm and the head.
        embedding: a token's id and its row of the embedding.
        position: a position's row of the RoPE table or of the position embedding.
        hidden: a token's hidden state.
        kv: keys, values and their scales of one position in one layer.
        blocks: which blocks of positions a query attends to; None: all.
    """

    layers: tuple[int, ...]
    head: int
    embedding: int
    position: int
    hidden: int
    kv: int
    blocks: AttentionBlocks | None = None

    def read(
        self,
        *,
        position: int,
        tokens: int,
        layers: range | None = None,
        embed: bool = True,
        head: bool = True,
    ) -> int:
        """Bytes that a run must read.

        Weights count once, whatever the number of tokens. Keys and values count for the positions
        before the run: those of its own tokens may stay on the chip.

        Args:
            position: tokens before the run.
            tokens: tokens of the run.
            layers: layers that it goes through; all if None.
            embed: whether it starts from ids, not from hidden states.
            head: whether it ends with the head.
        """
        start = tokens * (self.embedding if embed else self.hidden)
        through = self.layers if layers is None else self.layers[layers.start : layers.stop]
        weights = sum(through) + (self.head if head else 0)
        cache = len(through) * self._cache_read(position)
        return start + weights + tokens * self.position + cache

    def _cache_read(self, position: int) -> int:
        """Bytes of a layer's cache that queries from a position on attend to, before it.

        Where those are some blocks, the first query attends to all that the others do.
        """
        if self.blocks is None:
            return position * self.kv
        heads = len(self.blocks.strides)
        return sum(self.blocks.attended(head, position) - 1 for head in range(heads)) * (
            self.kv // heads
        )

    def written(self, *, tokens: int, layers: int, head: bool = True) -> int:
        """Bytes that a run must write: keys and values of its tokens, and its result.

        The result is one word after the head, else the tokens' hidden states.
        """
        result = _ID if head else tokens * self.hidden
        return layers * tokens * self.kv + result

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        """The inverse of `dataclasses.asdict`, for values that went through JSON."""
        blocks = values.get("blocks")
        found = None if blocks is None else AttentionBlocks.from_json(blocks)
        return cls(**{**values, "layers": tuple(values["layers"]), "blocks": found})


def traffic(architecture: Architecture, precision: Precision = Precision()) -> Traffic:
    """Return what a model of this shape moves, each tensor in the format it is stored in."""
    graph = quantise(lower(architecture))
    hidden, head_dim = architecture.hidden_size, architecture.head_dim
    return Traffic(
        layers=tuple(
            _section(graph, "layer", precision, layer) for layer in range(architecture.layers)
        ),
        head=_section(graph, "head", precision, None),
        embedding=_ID + _BF16 * hidden,
        position=_FP32 * architecture.position_width,
        hidden=_FP32 * hidden,
        kv=2 * architecture.kv_heads * (head_dim + _BF16),
        blocks=architecture.blocks,
    )


def _section(graph: Graph, name: str, precision: Precision, layer: int | None) -> int:
    nodes = graph.sections[name]
    vectors = vector_lengths(graph, nodes)
    matrices = (
        matrix_bytes(fmt, rows, graph.width(node.inputs[0]))
        for node in nodes
        if node.op == "product"
        for fmt, rows in _bands(graph, node, precision.title(in_layer(node.unit, layer)))
    )
    return _FP32 * sum(vectors.values()) + sum(matrices)


def _bands(graph: Graph, node: Node, title: str) -> list[tuple[WeightFormat, int]]:
    """Formats of a product's rows, without the rows that pad heads, which bands have too."""
    used, rows = graph.architecture.head_dim, graph.width(node.output)
    whole = whole_groups(used)
    if used == whole or not node.unit.endswith(("attn.q", "attn.k", "attn.v")):
        return [(band.format, band.rows) for band in bands_of(title, rows)]
    padded = rows // used * whole
    places = np.add.outer(np.arange(0, padded, whole), head_places(used, whole)).ravel()
    return [
        (band.format, int(np.count_nonzero((places >= band.first) & (places < band.span.stop))))
        for band in bands_of(title, padded)
    ]


def matrix_bytes(fmt: WeightFormat, outputs: int, inputs: int) -> int:
    """Bytes of a matrix in a format: values, indices, scales and mins, without any padding."""
    kept = -(-outputs * inputs // fmt.pattern.segments)
    values = -(-kept * (fmt.bits + fmt.pattern.index_bits) // 8)
    each = 2 if fmt.pattern is DENSE else 1
    metas = outputs * -(-inputs // GROUP) * each * fmt.metas
    return values + metas + outputs * _BF16 * fmt.scales
