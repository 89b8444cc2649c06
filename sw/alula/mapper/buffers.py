"""Placement in the on-chip buffers, for one phase."""

from collections.abc import Mapping
from dataclasses import dataclass

from alula.design import GROUP, Design
from alula.ir import Graph
from alula.ir.attention_blocks import BLOCK
from alula.ir.graph import A8, FP32
from alula.mapper.kv import Attended
from alula.mapper.memory import MemoryMap, head_tile

ARENAS = {
    "q": "attention",
    "k": "attention",
    "v": "attention",
    "attention": "attention",
    "kept": "attention",
    "gate": "mlp",
    "up": "mlp",
    "logits": "head",
}
"""Values that share the vector buffer's arena by turns; all others have a row for each token at
hand and keep their place."""


@dataclass(frozen=True)
class BufferMap:
    """Addresses in the vector buffer (words), the activation buffer (groups) and staging (rows).

    `streams`: two where the halves of a chunk take turns, one half in the attention while the other
    is in the MLP; the arenas of both lie apart then, and a half's queries lie where its quantised
    attention will be. `rows`: tokens of a stream. `attention_rows`: rows of one attention step.
    `copies`: score, probability and V scale buffers, two where heads alternate; two of scores alone
    where the rows of a half do. Where a model attends to some blocks only, `kept` has what those
    before the window add to the attention, and `windowN` the probabilities of the window. Buffers
    that grow with the context come last, and only they depend on it.
    """

    streams: int
    rows: int
    attention_rows: int
    copies: int
    vector: Mapping[str, int]
    vector_words: int
    activation: Mapping[str, int]
    activation_groups: int
    staging_rows: int
    score_stride: int

    @property
    def most_rows(self) -> int:
        """Rows of the widest product."""
        return max(self.streams * self.rows, self.attention_rows)

    def arena(self, name: str) -> str | None:
        """The arena of a vector buffer value, None if it has a place of its own."""
        return "attention" if name.startswith(("scores", "scales")) else ARENAS.get(name)

    def overlap(self, name: str, other: str) -> bool:
        """Whether two values take turns in the same place."""
        arenas = {self.arena(name), self.arena(other)}
        return len(arenas) == 2 and None not in arenas and (self.streams == 1 or "head" in arenas)


class _Stack:
    """Hands out consecutive addresses."""

    def __init__(self, start: int = 0) -> None:
        self.places: dict[str, int] = {}
        self.end = start

    def take(self, name: str, size: int) -> None:
        self.places[name] = self.end
        self.end += size


def map_buffers(
    graph: Graph,
    design: Design,
    memory: MemoryMap,
    *,
    positions: Attended,
    streams: int = 1,
    rows: int,
    attention_rows: int,
    copies: int,
) -> BufferMap:
    """Place every value of `streams` times `rows` tokens. `fit` checks it against the design."""
    architecture, lanes = graph.architecture, design.sfu.lanes

    def words(elements: int) -> int:
        return -(-elements // lanes)

    fixed = _Stack()
    for value in graph.values.values():
        if value.kind == FP32 and value.name not in ARENAS:
            fixed.take(value.name, streams * rows * words(value.width))
    for name, vectors in memory.vectors.items():
        fixed.take(name, vectors.size)
    fixed.take("position", streams * rows * words(architecture.position_width))

    widths: dict[str, dict[str, int]] = {"mlp": {}, "attention": {}, "head": {}}
    for value in graph.values.values():
        if value.kind == FP32 and value.name in ARENAS:
            head = value.name == "logits"
            size = streams * rows * words(head_tile(design)) if head else rows * words(value.width)
            widths[ARENAS[value.name]][value.name] = size
    if positions.window:
        widths["attention"]["kept"] = rows * words(architecture.query_size)
    score_stride = words(positions.window + positions.kept)
    for copy in range(copies):
        left = attention_rows
        if streams > 1:
            left = min(attention_rows, rows - copy * attention_rows)
        if copy == 0 or streams == 1:
            widths["attention"][f"scales{copy}"] = score_stride
        widths["attention"][f"scores{copy}"] = left * score_stride
    stacks: dict[str, _Stack] = {}
    for arena, sizes in widths.items():
        apart = streams > 1 and arena == "attention"
        stacks[arena] = _Stack(stacks["mlp"].end if apart else fixed.end)
        for name, size in sizes.items():
            stacks[arena].take(name, size)

    tokens = design.mpe.tokens
    activation = _Stack()
    for value in graph.values.values():
        if value.kind == A8:
            activation.take(value.name, -(-streams * rows // tokens) * value.groups)
    passes = -(-attention_rows // tokens)
    if streams == 1:
        most = -(-max(rows, attention_rows) // tokens)
        for copy in range(copies):
            activation.take(f"query{copy}", most * (architecture.head_dim // GROUP))
        if positions.window:
            for copy in range(copies):
                activation.take(f"window{copy}", passes * (positions.window // GROUP))
        for copy in range(copies):
            activation.take(f"probability{copy}", passes * (positions.kept // GROUP))
    else:
        activation.take("probability0", -(-rows // tokens) * (positions.kept // GROUP))

    places = dict(fixed.places)
    for stack in stacks.values():
        places |= stack.places
    return BufferMap(
        streams=streams,
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
    """Buffers of the decode phase: one token, the query heads of a KV head together.

    Two KV heads overlap where two copies of their scores fit.
    """
    group = graph.architecture.heads // graph.architecture.kv_heads

    def copied(copies: int) -> BufferMap:
        return map_buffers(
            graph,
            design,
            memory,
            positions=memory.attended,
            rows=1,
            attention_rows=group,
            copies=copies,
        )

    twice = copied(2)
    return twice if _fits(twice, design) else copied(1)


def map_prefill(
    graph: Graph, design: Design, memory: MemoryMap, *, halves: bool = True
) -> BufferMap:
    """Buffers of the prefill phase: a chunk of tokens.

    Its halves take turns where each fills the rows of a pass and both fit at the longest context,
    so that the code is the same for every context; never without `halves`, or where a model attends
    to some blocks only. Otherwise all tokens go together, with all the rows of scores that fit.
    """
    tokens, chunk = design.mpe.tokens, memory.chunk
    half = -(-chunk // (2 * tokens)) * tokens
    turn = _turn_rows(graph, design, half)

    def halved(context: int) -> BufferMap:
        return map_buffers(
            graph,
            design,
            memory,
            positions=Attended.of(graph.architecture, context),
            streams=2,
            rows=half,
            attention_rows=turn,
            copies=-(-half // turn),
        )

    longest = min(design.context_max, graph.architecture.max_context)
    blocks = graph.architecture.blocks
    halves = halves and blocks is None
    if halves and half < chunk and _fits(halved(max(longest, memory.context)), design):
        return halved(memory.context)
    attention_rows = chunk if blocks is None else _divisor(BLOCK, chunk)
    while True:
        buffers = map_buffers(
            graph,
            design,
            memory,
            positions=memory.attended,
            rows=chunk,
            attention_rows=attention_rows,
            copies=1,
        )
        if _fits(buffers, design) or attention_rows <= tokens:
            return buffers
        attention_rows = max(tokens, attention_rows // 2 // tokens * tokens)
        if blocks is not None:
            attention_rows = _divisor(BLOCK, attention_rows)


def _turn_rows(graph: Graph, design: Design, half: int) -> int:
    """Rows of a turn of a half's attention: all, or about as many in each of two that alternate.

    Each turn streams K and V. So two are made only where that takes no longer than the SFU's five
    passes over their scores.
    """
    tokens = design.mpe.tokens
    rows = -(-half // (2 * tokens)) * tokens
    streamed = 2 * graph.architecture.head_dim / design.bytes_per_cycle
    return rows if streamed <= 5 * rows / design.sfu.lanes else half


def _divisor(number: int, most: int) -> int:
    """The largest divisor of a number up to `most`."""
    return next(size for size in range(most, 0, -1) if number % size == 0)


def _fits(buffers: BufferMap, design: Design) -> bool:
    return buffers.vector_words <= design.vector_words and (
        buffers.activation_groups <= design.activation_groups
    )
