"""Placement in the on-chip buffers, for one phase."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from alula.design import Design
from alula.ir import Graph
from alula.ir.graph import A8, FP32
from alula.isa.formats import BLOCK, GROUP
from alula.mapper.memory import MemoryMap, head_tile

ARENAS = {
    "q": "attention",
    "k": "attention",
    "v": "attention",
    "attention": "attention",
    "gate": "mlp",
    "up": "mlp",
    "logits": "head",
}
"""Values that share the vector buffer's arena by turns; all others keep their place."""


@dataclass(frozen=True)
class BufferMap:
    """Addresses in the vector buffer (words), the activation buffer (groups) and staging (rows).

    `rows`: tokens at once. `attention_rows`: rows of one attention step. `copies`: score,
    probability and V scale buffers, two where heads alternate. Buffers that grow with the context
    come last, and only they depend on it.
    """

    rows: int
    attention_rows: int
    copies: int
    vector: Mapping[str, int]
    vector_words: int
    activation: Mapping[str, int]
    activation_groups: int
    staging_rows: int
    score_stride: int

    def arena(self, name: str) -> str | None:
        """The arena of a vector buffer value, None if it has a place of its own."""
        return "attention" if name.startswith(("scores", "scales")) else ARENAS.get(name)


class _Stack:
    """Hands out consecutive addresses."""

    def __init__(self, start: int = 0) -> None:
        self.places: dict[str, int] = {}
        self.end = start

    def take(self, name: str, size: int) -> None:
        self.places[name] = self.end
        self.end += size


def map_buffers(
    graph: Graph, design: Design, memory: MemoryMap, *, rows: int, attention_rows: int, copies: int
) -> BufferMap:
    """Place every value of `rows` tokens. Nothing is checked against the design: see `fit`."""
    architecture, lanes = graph.architecture, design.sfu.lanes

    def words(elements: int) -> int:
        return -(-elements // lanes)

    fixed = _Stack()
    for value in graph.values.values():
        if value.kind == FP32 and value.name not in ARENAS:
            fixed.take(value.name, rows * words(value.width))
    for section in (memory.layer, memory.head):
        for name, vectors in section.vectors.items():
            fixed.take(name, vectors.size)
    rotated = architecture.position == "rope"
    fixed.take(
        "position", rows * words(architecture.head_dim if rotated else architecture.hidden_size)
    )

    stacks = {arena: _Stack(fixed.end) for arena in ("attention", "mlp", "head")}
    for value in graph.values.values():
        if value.kind == FP32 and value.name in ARENAS:
            width = head_tile(design) if value.name == "logits" else value.width
            stacks[ARENAS[value.name]].take(value.name, rows * words(width))
    score_stride = words(memory.kv.context)
    for copy in range(copies):
        stacks["attention"].take(f"scales{copy}", score_stride)
        stacks["attention"].take(f"scores{copy}", attention_rows * score_stride)

    tokens = design.mpe.tokens
    activation = _Stack()
    for value in graph.values.values():
        if value.kind == A8:
            activation.take(value.name, -(-rows // tokens) * (value.width // GROUP))
    passes = -(-attention_rows // tokens)
    most = -(-max(rows, attention_rows) // tokens)
    for copy in range(copies):
        activation.take(f"query{copy}", most * (architecture.head_dim // GROUP))
    for copy in range(copies):
        activation.take(f"probability{copy}", passes * (memory.kv.context // GROUP))

    places = dict(fixed.places)
    for stack in stacks.values():
        places |= stack.places
    return BufferMap(
        rows=rows,
        attention_rows=attention_rows,
        copies=copies,
        vector=places,
        vector_words=max(stack.end for stack in stacks.values()),
        activation=activation.places,
        activation_groups=activation.end,
        staging_rows=2 * rows * architecture.kv_heads,
        score_stride=score_stride,
    )


def map_decode(graph: Graph, design: Design, memory: MemoryMap) -> BufferMap:
    """Buffers of the decode phase: one token, the query heads of a KV head together."""
    group = graph.architecture.heads // graph.architecture.kv_heads
    return map_buffers(graph, design, memory, rows=1, attention_rows=group, copies=2)


def map_prefill(graph: Graph, design: Design, memory: MemoryMap) -> BufferMap:
    """Buffers of the prefill phase: a chunk of tokens, and all the rows of scores that fit."""
    rows = attention_rows = design.prefill_chunk
    while True:
        buffers = map_buffers(
            graph, design, memory, rows=rows, attention_rows=attention_rows, copies=1
        )
        full = buffers.vector_words > design.vector_words or (
            buffers.activation_groups > activation_groups(design)
        )
        if not full or attention_rows <= design.mpe.tokens:
            return buffers
        attention_rows = max(
            design.mpe.tokens, attention_rows // 2 // design.mpe.tokens * design.mpe.tokens
        )


def activation_groups(design: Design) -> int:
    """Groups that the activation buffer holds."""
    return design.activation_words * BLOCK // GROUP
