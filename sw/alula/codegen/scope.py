"""What all emitting functions of a phase share: its emitter, its placement, and its resources."""

import copy
from collections.abc import Callable
from dataclasses import dataclass
from typing import Self

from alula.codegen.emitter import Emitter
from alula.design import Design
from alula.ir import Graph
from alula.isa import Ref
from alula.mapper import BufferMap, LayerRun, MemoryMap, Vectors

POSITION = "position"
PIECES = {"q": 2, "k": 2}
"""Values of which some heads are used while the others are not there yet."""
Count = Ref | int
"""A number of rows: known, or in a register."""


@dataclass(frozen=True)
class Stream:
    """Half of a chunk: its number, and the registers that hold what is its own.

    Attributes:
        number: 0 or 1; its rows come after those of the streams before.
        rows: tokens; may be none.
        many: the same, but at least one: a product takes its weights from the stream in any case.
        layer: beat of the layer's tensors.
    """

    number: int
    rows: str
    many: str
    layer: str


class Scope:
    """One phase of a model on its way to a program.

    Attributes:
        emit: collects the program.
        graph, design, memory, buffers: what is to be run and where it lies.
        chunked: rows come in chunks, their number in register `rows`; else one row (decode).
        rows: the number of rows at hand.
        many: the same for products, which cannot do without a row.
        stream: the half of the chunk at hand; None for all of it.
        run: the layers at hand.
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
        self.many = self.rows
        self.stream: Stream | None = None
        self.run = memory.runs[0]

    def at(self, stream: Stream) -> Self:
        """Return this scope for half of the chunk."""
        other = copy.copy(self)
        other.stream = stream
        other.rows, other.many = self.emit.reg(stream.rows), self.emit.reg(stream.many)
        return other

    def through(self, run: LayerRun) -> Self:
        """This scope for a run of layers."""
        other = copy.copy(self)
        other.run = run
        return other

    def layer(self, offset: int) -> Ref:
        """A beat of the layer at hand."""
        return self.emit.reg(self.stream.layer if self.stream else "layer", offset)

    @property
    def rows_register(self) -> str:
        """The register with the number of rows at hand, where they come in chunks."""
        return self.stream.rows if self.stream else "rows"

    @property
    def start(self) -> str:
        """The register with the position of the first row at hand."""
        return POSITION

    def words(self, elements: int) -> int:
        """Vector buffer words of a row."""
        return -(-elements // self.design.sfu.lanes)

    def vector(self, name: str) -> int:
        """First word of a value or a set of vectors."""
        before = self._before(name)
        return self.buffers.vector[name] + (before * self.row_words(name) if before else 0)

    def activation(self, name: str) -> int:
        """First group of a quantised value."""
        passes = self._before(name) // self.design.mpe.tokens
        return self.buffers.activation[name] + passes * self.graph.values[name].groups

    def row_words(self, name: str) -> int:
        """Words of one token's row of a value."""
        position = self.graph.architecture.position_width
        return self.words(position if name == POSITION else self.graph.width(name))

    def touch(self, *names: str, piece: int | None = None) -> set[str]:
        """Resources of values in a buffer: each stream's rows, and turns in the same place.

        Two values conflict exactly if they share a resource. `piece`: one of `PIECES` of a value.
        """
        resources: set[str] = set()
        for name in names:
            pieces = pieces_of(name, piece)
            resources |= {
                " | ".join(sorted((one, other)))
                for one in pieces
                for value in self.buffers.vector
                if self.buffers.overlap(name, value)
                for other in pieces_of(value)
            }
            if self._by_row(name):
                streams = [self.stream.number] if self.stream else range(self.buffers.streams)
                pieces = [f"{one}.{number}" for one in pieces for number in streams]
            resources.update(pieces)
        return resources

    def _by_row(self, name: str) -> bool:
        """Whether a value has a row for each token at hand, those of both streams."""
        return name == POSITION or (name in self.graph.values and self.buffers.arena(name) is None)

    def _before(self, name: str) -> int:
        """Rows of a value that belong to earlier streams."""
        if self.stream is None or not self._by_row(name):
            return 0
        return self.stream.number * self.buffers.rows

    def each_row(self, body: Callable[[], None]) -> None:
        """Emit `body` once for each row at hand."""
        if self.chunked:
            with self.emit.loop(self.rows):
                body()
        else:
            body()

    def vectors_of(self, tensor: str) -> tuple[str, Vectors]:
        """The set of vectors that a tensor is loaded with, and its name."""
        for section in (self.run.section, self.memory.head):
            for name, vectors in section.vectors.items():
                if tensor in vectors.words:
                    return name, vectors
        raise KeyError(tensor)

    def parameter(self, tensor: str) -> tuple[str, int]:
        """The resource that holds a tensor on chip, and the tensor's first word."""
        name, vectors = self.vectors_of(tensor)
        return name, self.vector(name) + vectors.words[tensor]


def pieces_of(name: str, piece: int | None = None) -> list[str]:
    """The pieces of a value that are told apart, or one of them."""
    if piece is not None:
        return [f"{name}/{piece}"]
    return [f"{name}/{number}" for number in range(PIECES[name])] if name in PIECES else [name]
