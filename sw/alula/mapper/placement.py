"""Where everything of a model lies, and how many tokens a prefill chunk has."""

from collections.abc import Iterator
from dataclasses import dataclass

from alula.design import Design
from alula.ir import Graph, Precision
from alula.mapper.buffers import BufferMap, map_decode, map_prefill
from alula.mapper.fit import (
    accumulator_item,
    band_items,
    block_items,
    buffer_items,
    context_item,
    fits,
    freed_bytes,
    memory_items,
    pattern_items,
)
from alula.mapper.memory import MemoryMap, map_memory
from alula.mapper.report import FitReport


@dataclass(frozen=True)
class ModelPlacement:
    """A model in memory and in the buffers of both phases, and what it takes of each."""

    memory: MemoryMap
    prefill: BufferMap
    decode: BufferMap
    report: FitReport


def place(
    graph: Graph,
    design: Design,
    context: int,
    precision: Precision = Precision(),
    *,
    halves: bool = True,
) -> ModelPlacement:
    """Place a model with the design's prefill chunk, or with one that fits.

    Where the design's chunk does not fit: the largest in two halves that take turns, else the
    largest of any kind, else a chunk of one token, which takes least. Without `halves` no chunk is
    cut in two.
    """

    def candidate(chunk: int) -> tuple[MemoryMap, BufferMap]:
        memory = map_memory(graph, design, context, precision, chunk)
        return memory, map_prefill(graph, design, memory, halves=halves)

    def fitting(memory: MemoryMap, buffers: BufferMap) -> bool:
        return fits(buffer_items("prefill", buffers, memory, design))

    memory, prefill = candidate(design.prefill_chunk)
    if not fitting(memory, prefill):
        smaller = [candidate(chunk) for chunk in _smaller_chunks(design)]
        fitted = [pair for pair in smaller if fitting(*pair)] or smaller[-1:]
        halved = [pair for pair in fitted if pair[1].streams > 1]
        memory, prefill = next(iter(halved or fitted), (memory, prefill))
    decode = map_decode(graph, design, memory)
    items = [
        context_item(graph, design, context),
        *memory_items(memory, design),
        *buffer_items("prefill", prefill, memory, design),
        *buffer_items("decode", decode, memory, design),
        accumulator_item(memory, design),
        *pattern_items(memory, design),
        *band_items(memory, design),
        *block_items(graph, design),
    ]
    freed = freed_bytes(graph, design, memory)
    report = FitReport(design.name, context, memory.chunk, design.prefill_chunk, items, freed=freed)
    return ModelPlacement(memory, prefill, decode, report)


def _smaller_chunks(design: Design) -> Iterator[int]:
    """Chunks below the design's, the largest first: whole passes, then parts of one."""
    tokens = design.mpe.tokens
    yield from range(design.prefill_chunk - tokens, 0, -tokens)
    while tokens > 1:
        tokens //= 2
        yield tokens
