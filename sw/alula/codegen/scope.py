"""What all emitting functions of a phase share: its emitter, its placement, and its resources."""

from __future__ import annotations

from collections.abc import Callable

from alula.codegen.emitter import Emitter
from alula.design import Design
from alula.ir import Graph
from alula.isa import Ref
from alula.mapper import BufferMap, MemoryMap, Vectors

Count = Ref | int
"""A number of rows: known, or in a register."""


class Scope:
    """One phase of a model on its way to a program.

    Attributes:
        emit: collects the program.
        graph, design, memory, buffers: what is to be run and where it lies.
        chunked: rows come in chunks, their number in register `rows`; else one row (decode).
        rows: the number of rows at hand.
    """

    def __init__(
        self,
        emit: Emitter,
        graph: Graph,
        design: Design,
        memory: MemoryMap,
        buffers: BufferMap,
        *,
        chunked: bool,
    ) -> None:
        self.emit, self.graph, self.design = emit, graph, design
        self.memory, self.buffers, self.chunked = memory, buffers, chunked
        self.rows: Count = emit.reg("rows") if chunked else 1

    def words(self, elements: int) -> int:
        """Vector buffer words of a row."""
        return -(-elements // self.design.sfu.lanes)

    def vector(self, name: str) -> int:
        """First word of a value or a set of vectors."""
        return self.buffers.vector[name]

    def row_words(self, name: str) -> int:
        """Words of one token's row of a value."""
        return self.words(self.graph.width(name))

    def touch(self, *names: str) -> set[str]:
        """Resources of vector buffer values: the value, and its arena's turn against the others'.

        Two values conflict exactly if they share a resource.
        """
        resources: set[str] = set()
        for name in names:
            resources.add(name)
            mine = self.buffers.arena(name)
            if mine is not None:
                for other in self.buffers.vector:
                    theirs = self.buffers.arena(other)
                    if theirs is not None and theirs != mine:
                        resources.add(" | ".join(sorted((name, other))))
        return resources

    def each_row(self, body: Callable[[], None]) -> None:
        """Emit `body` once for each row at hand."""
        if self.chunked:
            with self.emit.loop(self.rows):
                body()
        else:
            body()

    def vectors_of(self, tensor: str) -> tuple[str, Vectors]:
        """The set of vectors that a tensor is loaded with, and its name."""
        for section in (self.memory.layer, self.memory.head):
            for name, vectors in section.vectors.items():
                if tensor in vectors.words:
                    return name, vectors
        raise KeyError(tensor)

    def parameter(self, tensor: str) -> tuple[str, int]:
        """The resource that holds a tensor on chip, and the tensor's first word."""
        name, vectors = self.vectors_of(tensor)
        return name, self.vector(name) + vectors.words[tensor]
