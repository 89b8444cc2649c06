"""What a placed model needs of a design, resource by resource."""

from collections.abc import Sequence
from dataclasses import replace
from math import lcm

from alula.design import GROUP, Design
from alula.ir import Graph
from alula.ir.attention_blocks import BLOCK
from alula.isa import RegionName
from alula.isa.formats import (
    DENSE,
    FORMATS,
    MIN_UNIT,
    Q_MAX,
    SCALE_MAX,
    SCALES_PER_BEAT,
    WeightFormat,
)
from alula.mapper.buffers import BufferMap
from alula.mapper.kv import KvLayout
from alula.mapper.memory import MemoryMap
from alula.mapper.report import FitItem

_WEIGHTS = (RegionName.EMBED, RegionName.HEAD, RegionName.LAYERS, RegionName.POSITION)


def memory_items(memory: MemoryMap, design: Design) -> list[FitItem]:
    """Weights, cache and everything together in external memory."""
    beat = design.bytes_per_cycle
    capacity = design.channels * design.channel_bytes
    regions = memory.regions
    weights = sum(regions[name].beats for name in _WEIGHTS)
    demands = {"weights": weights, "KV cache": regions[RegionName.KV].beats, "memory": memory.beats}
    return [
        FitItem(name, "both", beats * beat, capacity, "bytes", "memory.capacity_mib")
        for name, beats in demands.items()
    ]


def buffer_items(
    phase: str, buffers: BufferMap, memory: MemoryMap, design: Design
) -> list[FitItem]:
    """The on-chip buffers of a phase."""
    word = design.vector_word_bytes
    staging = buffers.staging_rows * (memory.kv.head_dim + 2)
    replayed = longest_row_block(memory) if buffers.most_rows > design.mpe.tokens else 0
    return [
        FitItem(
            "vector buffer",
            phase,
            buffers.vector_words * word,
            design.vector_words * word,
            "bytes",
            "buffers.vector_kib",
        ),
        FitItem(
            "activation buffer",
            phase,
            buffers.activation_groups,
            design.activation_groups,
            "groups",
            "buffers.activation_kib",
        ),
        FitItem("staging", phase, staging, design.staging_bytes, "bytes", "buffers.staging_kib"),
        FitItem(
            "weight stream", phase, replayed, design.stream_beats, "beats", "buffers.stream_kib"
        ),
    ]


def _products(memory: MemoryMap) -> list[tuple[WeightFormat, int]]:
    """Format and groups of a row of everything that is multiplied."""
    weights = [(band.format, band.groups) for matrix in memory.matrices for band in matrix.bands]
    keys = (FORMATS["W8"], memory.kv.head_dim // GROUP)
    return [*weights, keys, (FORMATS["V8"], memory.attended.longest // GROUP)]


def longest_row_block(memory: MemoryMap) -> int:
    """Beats of the longest row block: it is replayed from the weight stream."""
    return max(fmt.beats(1, groups) for fmt, groups in _products(memory))


def accumulator_item(memory: MemoryMap, design: Design) -> FitItem:
    """Bits of the largest sum that any weights and activations can give."""

    def largest(fmt: WeightFormat) -> int:
        if not fmt.metas:
            return Q_MAX
        level = 1 << fmt.bits - 1
        return SCALE_MAX * level + MIN_UNIT * 128 if fmt.pattern is DENSE else 128 * level

    sums = [GROUP * groups * Q_MAX * SCALE_MAX * largest(fmt) for fmt, groups in _products(memory)]
    bits, key = max(sums).bit_length() + 1, "mpe.accumulator_bits"
    return FitItem("accumulator", "both", bits, design.mpe.accumulator_bits, "bits", key)


def pattern_items(memory: MemoryMap, design: Design) -> list[FitItem]:
    """What N:M patterns need: a matrix engine that has them."""
    if all(fmt.pattern is DENSE for fmt, _ in _products(memory)):
        return []
    return [FitItem("N:M patterns", "both", 1, int(design.mpe.sparse), "engine", "mpe.sparse")]


def band_items(memory: MemoryMap, design: Design) -> list[FitItem]:
    """What bands of rows need: the next one begins with a row block and with a word of results."""
    rows = [
        (lcm(band.format.pattern.segments * design.rows, design.sfu.lanes, band.outputs), band)
        for matrix in memory.matrices
        for band in matrix.bands[:-1]
    ]
    if not rows:
        return []
    demand, band = max(rows, key=lambda one: one[0] / one[1].outputs)
    return [FitItem("rows of a band", "both", demand, band.outputs, "rows", "")]


def block_items(graph: Graph, design: Design) -> list[FitItem]:
    """What attention to some blocks needs: blocks of K that begin with beats of their own."""
    if graph.architecture.blocks is None:
        return []
    step = lcm(SCALES_PER_BEAT * design.rows, BLOCK)
    return [FitItem("attention blocks", "both", step, BLOCK, "positions", "")]


def freed_bytes(graph: Graph, design: Design, memory: MemoryMap) -> int:
    """Bytes that the KV cache would take more if every position were attended to."""
    whole = KvLayout.of(replace(graph.architecture, blocks=None), design, memory.context)
    return (whole.beats - memory.kv.beats) * design.bytes_per_cycle


def context_item(graph: Graph, design: Design, context: int) -> FitItem:
    """Positions that the model and the design are made for."""
    most, model = design.context_max, graph.architecture.max_context
    key = "context_max" if most < model else ""
    return FitItem("context", "both", context, min(most, model), "positions", key)


def fits(items: Sequence[FitItem]) -> bool:
    """Every demand within its bound."""
    return all(item.fits for item in items)
