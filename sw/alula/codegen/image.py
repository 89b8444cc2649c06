"""Filling the memory image: packed matrices, vectors, embeddings and position tables."""

from collections.abc import Callable, Mapping
from dataclasses import replace

import numpy as np

from alula.design import Design
from alula.ir import Graph
from alula.ir.precision import in_layer
from alula.isa import RegionName
from alula.mapper import MemoryMap, Section, StoredMatrix
from alula.quant import QuantizedMatrix, QuantizedModel, pack
from alula.quant.banded import parts_of
from alula.quant.floats import bf16_bits


class _Writer:
    """Puts things into an image, counting steps for the progress bar."""

    def __init__(self, memory: MemoryMap, design: Design) -> None:
        self.design = design
        stored = [region for region in memory.regions.values() if region.stored]
        beats = max(region.end for region in stored)
        self.data = np.zeros((beats, design.bytes_per_cycle), np.uint8)

    def rows(self, start: int, row_beats: int, rows: np.ndarray) -> None:
        """Rows of any element type, each at the start of a beat."""
        count = rows.shape[0]
        raw = np.ascontiguousarray(rows).view(np.uint8).reshape(count, -1)
        target = self.data[start : start + count * row_beats].reshape(count, -1)
        target[:, : raw.shape[1]] = raw

    def vectors(
        self, start: int, words: Mapping[str, int], tensors: Mapping[str, np.ndarray]
    ) -> None:
        """Vectors of one LD.V."""
        flat = self.data[start:].reshape(-1).view(np.float32)
        for name, word in words.items():
            first = word * self.design.sfu.lanes
            flat[first : first + tensors[name].size] = tensors[name]

    def matrix(self, start: int, matrix: StoredMatrix, model: QuantizedModel, unit: str) -> None:
        """A matrix, tile by tile, or band by band."""
        parts, tile = parts_of(model.matrix(unit)), matrix.tile
        if tile != matrix.outputs:
            (whole,) = parts
            parts = (_tile(whole, index * tile, tile) for index in range(matrix.tiles))
        for part in parts:
            beats = pack(part, self.design.channels, self.design.rows)
            self.data[start : start + len(beats)] = beats
            start += len(beats)


def _tile(matrix: QuantizedMatrix, start: int, rows: int) -> QuantizedMatrix:
    """`rows` rows of a matrix from `start` on, zeros beyond its end."""

    def cut(array: np.ndarray) -> np.ndarray:
        part = array[start : start + rows]
        return np.pad(part, [(0, rows - len(part))] + [(0, 0)] * (part.ndim - 1))

    metas = {"s": matrix.s, "m": matrix.m}
    present = {name: cut(array) for name, array in metas.items() if array is not None}
    shape = (rows, matrix.shape[1])
    return replace(matrix, shape=shape, q=cut(matrix.q), c=cut(matrix.c), **present)


def _present(tensor: np.ndarray | None, name: str) -> np.ndarray:
    if tensor is None:
        raise KeyError(f"{name} must be in the model: its architecture says so")
    return tensor


def _fill_section(
    writer: _Writer, section: Section, start: int, model: QuantizedModel, layer: int | None
) -> None:
    for vectors in section.vectors.values():
        tensors = {
            name: _present(model.vector(in_layer(name, layer)), name) for name in vectors.words
        }
        writer.vectors(start + vectors.offset, vectors.words, tensors)
    for unit, matrix in section.matrices.items():
        writer.matrix(start + matrix.offset, matrix, model, in_layer(unit, layer))


def build_image(
    graph: Graph,
    memory: MemoryMap,
    model: QuantizedModel,
    design: Design,
    progress: Callable[[str, int, int], None],
) -> np.ndarray:
    """uint8 [beats, B] of all stored regions."""
    writer = _Writer(memory, design)
    regions, layers = memory.regions, graph.architecture.layers
    steps = layers + 2
    progress("embedding", 0, steps)
    writer.rows(
        regions[RegionName.EMBED].start,
        memory.row_beats[RegionName.EMBED],
        bf16_bits(model.embedding()),
    )
    context = regions[RegionName.POSITION].beats // memory.row_beats[RegionName.POSITION]
    if graph.architecture.position == "rope":
        table = _present(model.rope_table(context), "rope")
    else:
        table = _present(model.positions(), "embed.position")[:context]
    writer.rows(regions[RegionName.POSITION].start, memory.row_beats[RegionName.POSITION], table)
    for run in memory.runs:
        for layer in range(run.first, run.end):
            progress(f"layers.{layer}", layer + 1, steps)
            start = regions[RegionName.LAYERS].start + run.beat(layer)
            _fill_section(writer, run.section, start, model, layer)
    progress("head", layers + 1, steps)
    _fill_section(writer, memory.head, regions[RegionName.HEAD].start, model, None)
    progress("done", steps, steps)
    return writer.data
