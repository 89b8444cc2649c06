"""Placement in external memory: which tensor lies where, in the order in which they are read."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from alula.design import GROUP, Design
from alula.ir import Graph, Node, Precision
from alula.ir.bands import Band
from alula.ir.precision import in_layer
from alula.isa import RegionName
from alula.isa.formats import DENSE, WeightFormat
from alula.isa.image import Region
from alula.mapper.kv import Attended, KvLayout

TILE_TARGET = 2048
"""Logits of one tile of the head, about."""


@dataclass(frozen=True)
class Vectors:
    """Vectors that one LD.V brings: each starts at a word of `L` elements."""

    offset: int
    """Beats from the section's base."""
    words: Mapping[str, int]
    """First word of each tensor."""
    size: int
    """Words of all."""


@dataclass(frozen=True)
class StoredBand:
    """Rows of a matrix in one format, `blocks` x `groups`: one instruction streams them."""

    first: int
    """The first row."""
    outputs: int
    offset: int
    """Beats from where the matrix, or a tile of it, begins."""
    format: WeightFormat
    blocks: int
    groups: int

    @property
    def fields(self) -> dict[str, Any]:
        """What every instruction that streams or multiplies it says of it."""
        pattern = {} if self.format.pattern is DENSE else {"nm": self.format.pattern.name}
        return {"fmt": self.format.name, "groups": self.groups, **pattern}

    @property
    def beats(self) -> int:
        """Beats that it takes."""
        return self.format.beats(self.blocks, self.groups)


@dataclass(frozen=True)
class StoredMatrix:
    """A weight matrix, the head's in `tiles` of `tile` outputs: each the rows of `bands`."""

    unit: str
    outputs: int
    tile: int
    offset: int
    bands: tuple[StoredBand, ...]
    tiles: int = 1

    @property
    def tile_beats(self) -> int:
        """Beats of one tile."""
        return sum(band.beats for band in self.bands)


@dataclass(frozen=True)
class Section:
    """The tensors of a layer or of the head. Vectors by the unit that needs them first."""

    vectors: Mapping[str, Vectors]
    matrices: Mapping[str, StoredMatrix]
    beats: int


def head_tile(design: Design) -> int:
    """Rows of a tile of the head: whole scale beats, whole beats of logits, whole words."""
    step = 4 * design.rows
    while step % design.sfu.lanes:
        step += 4 * design.rows
    return max(step, TILE_TARGET // step * step)


def _vectors(tensors: Mapping[str, int], design: Design, offset: int) -> Vectors:
    words, size = {}, 0
    for name, length in tensors.items():
        words[name] = size
        size += -(-length // design.sfu.lanes)
    return Vectors(offset, words, size)


def _runs(nodes: tuple[Node, ...]) -> Iterator[tuple[str, list[Node]]]:
    """Nodes of a section from one norm to the next, named by that norm."""
    name, run = "", list[Node]()
    for node in nodes:
        if node.op == "norm":
            if run:
                yield name, run
            name, run = node.unit, []
        run.append(node)
    yield name, run


def vector_lengths(graph: Graph, nodes: Iterable[Node]) -> dict[str, int]:
    """Elements of the vectors (gains and biases) that these nodes take, by tensor."""
    return {
        tensor: graph.architecture.head_dim if node.op == "head_norm" else graph.width(node.output)
        for node in nodes
        if node.op in ("norm", "bias", "head_norm")
        for tensor in node.parameters
    }


def _stored(bands: Iterable[Band], groups: int, design: Design) -> Iterator[StoredBand]:
    """Bands one after the other, each beginning with a beat."""
    offset = 0
    for band in bands:
        blocks = -(-band.rows // (band.format.pattern.segments * design.rows))
        stored = StoredBand(band.first, band.rows, offset, band.format, blocks, groups)
        yield stored
        offset += stored.beats


def _section(
    graph: Graph,
    nodes: tuple[Node, ...],
    design: Design,
    precision: Precision,
    layer: int | None,
) -> Section:
    """The tensors of a layer, or of the head (None), whose matrix comes in tiles."""
    vectors: dict[str, Vectors] = {}
    matrices: dict[str, StoredMatrix] = {}
    offset = 0
    for name, run in _runs(nodes):
        vectors[name] = _vectors(vector_lengths(graph, run), design, offset)
        offset += -(-4 * vectors[name].size * design.sfu.lanes // design.bytes_per_cycle)
        for node in run:
            if node.op != "product":
                continue
            outputs = graph.width(node.output)
            tile = head_tile(design) if layer is None else outputs
            bands = precision.bands(in_layer(node.unit, layer), tile)
            groups = graph.values[node.inputs[0]].groups
            matrix = StoredMatrix(
                node.unit,
                outputs,
                tile,
                offset,
                tuple(_stored(bands, groups, design)),
                -(-outputs // tile),
            )
            matrices[node.unit] = matrix
            offset += matrix.tiles * matrix.tile_beats
    return Section(vectors, matrices, offset)


@dataclass(frozen=True)
class LayerRun:
    """Consecutive layers whose tensors lie alike, as their formats are the same.

    `first`: the first of `layers` layers; its tensors lie `start` beats behind the region's start.
    """

    first: int
    layers: int
    start: int
    section: Section

    @property
    def end(self) -> int:
        """The layer behind the last."""
        return self.first + self.layers

    def beat(self, layer: int) -> int:
        """Where a layer's tensors begin, in beats behind the region's start."""
        return self.start + (layer - self.first) * self.section.beats


@dataclass(frozen=True)
class MemoryMap:
    """Every region of memory. All addresses are beats."""

    runs: Sequence[LayerRun]
    """All layers, in order."""
    head: Section
    kv: KvLayout
    context: int
    """Positions, whole groups."""
    attended: Attended
    """The most of them that a query attends to."""
    chunk: int
    """Tokens of a prefill chunk."""
    row_beats: Mapping[str, int]
    """Beats of a row of the regions made of rows; a row of ids is a chunk's."""
    regions: Mapping[str, Region]

    @property
    def vectors(self) -> Mapping[str, Vectors]:
        """The sets of vectors of a layer and of the head; those of all layers are alike."""
        return {**self.runs[0].section.vectors, **self.head.vectors}

    @property
    def matrices(self) -> Iterator[StoredMatrix]:
        """Every matrix, one of those that lie alike."""
        for section in (*(run.section for run in self.runs), self.head):
            yield from section.matrices.values()

    @property
    def beats(self) -> int:
        """Beats in use."""
        return max(region.end for region in self.regions.values())


def _layer_runs(graph: Graph, design: Design, precision: Precision) -> list[LayerRun]:
    nodes = graph.sections["layer"]
    units = [node.unit for node in nodes if node.op == "product"]
    runs: list[LayerRun] = []
    for first, layers in precision.runs(units, graph.architecture.layers):
        start = runs[-1].beat(first) if runs else 0
        section = _section(graph, nodes, design, precision, first)
        runs.append(LayerRun(first, layers, start, section))
    return runs


def map_memory(
    graph: Graph,
    design: Design,
    context: int,
    precision: Precision = Precision(),
    chunk: int | None = None,
) -> MemoryMap:
    """Place everything. What depends on the context comes last, so that code need not know it.

    `chunk`: tokens of a prefill chunk; the design's if None.
    """
    architecture = graph.architecture
    chunk = chunk or design.prefill_chunk
    runs = _layer_runs(graph, design, precision)
    head = _section(graph, graph.sections["head"], design, precision, None)
    kv = KvLayout.of(architecture, design, context, chunk)
    tile = head_tile(design)

    def beats(count: int) -> int:
        return -(-count // design.bytes_per_cycle)

    rows: dict[str, int] = {
        RegionName.EMBED: beats(2 * architecture.hidden_size),
        RegionName.POSITION: beats(4 * architecture.position_width),
        RegionName.HIDDEN: beats(4 * architecture.hidden_size),
        RegionName.LOGITS: beats(4 * tile) * -(-architecture.vocab_size // tile),
        RegionName.IDS: beats(4 * chunk),
    }
    chunks = -(-context // chunk)
    sizes = (
        (RegionName.RESULT, 1, False),
        (RegionName.LOGITS, rows[RegionName.LOGITS] * chunk, False),
        (RegionName.EMBED, rows[RegionName.EMBED] * architecture.vocab_size, True),
        (RegionName.HEAD, head.beats, True),
        (RegionName.LAYERS, runs[-1].beat(architecture.layers), True),
        (RegionName.POSITION, rows[RegionName.POSITION] * context, True),
        (RegionName.IDS, rows[RegionName.IDS] * chunks, False),
        (RegionName.HIDDEN, rows[RegionName.HIDDEN] * context, False),
        (RegionName.KV, kv.beats, False),
    )
    regions, start = {}, 0
    for name, size, stored in sizes:
        regions[name] = Region(start, size, stored)
        start += size
    attended = Attended.of(architecture, context)
    whole = -(-context // GROUP) * GROUP
    return MemoryMap(runs, head, kv, whole, attended, chunk, rows, regions)
