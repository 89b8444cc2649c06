"""One phase of a model, prefill or decode, from its graph and its placement to a program.

Both phases come from the same walk over the graph. Prefill wraps it in a loop over chunks and takes
its number of rows from a register; decode has one row and unrolls the heads so that they overlap.
"""

from __future__ import annotations

import struct
from collections.abc import Callable

from alula.codegen import attention
from alula.codegen.emitter import Emitter, engine_of
from alula.design import Design
from alula.ir import Graph, Node
from alula.isa import Program, Ref
from alula.mapper import BufferMap, Matrix, MemoryMap, Vectors

PREFILL, DECODE = "prefill", "decode"


def float_bits(value: float) -> int:
    """The bits of a number rounded to fp32."""
    return struct.unpack("<I", struct.pack("<f", value))[0]


class Phase:
    """Emits one phase. Attributes are what the emitting functions share."""

    def __init__(
        self, name: str, graph: Graph, design: Design, memory: MemoryMap, buffers: BufferMap
    ) -> None:
        self.graph, self.design, self.memory, self.buffers = graph, design, memory, buffers
        self.chunked = name == PREFILL
        self.emit = Emitter(name, design.hash)
        self.lanes = design.sfu.lanes
        emit = self.emit
        self.rows: Ref | int = emit.reg("rows") if self.chunked else 1
        kv = memory.kv
        for constant, value in (
            ("k_stride", kv.k_stride),
            ("v_stride", kv.v_stride),
            ("v_pitch", kv.v_pitch),
            ("kv_layer", kv.layer_stride),
            ("score_stride", buffers.score_stride),
            ("kv", memory.regions["kv"].start),
            ("ids", memory.regions["ids"].start),
            ("hidden", memory.regions["hidden"].start),
            *attention.constants(buffers),
        ):
            emit.constant(constant, value)

    # Places and resources

    def words(self, elements: int) -> int:
        """Vector buffer words of a row."""
        return -(-elements // self.lanes)

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

    # Program

    def program(self) -> Program:
        """The whole phase."""
        emit = self.emit
        emit.origin = "embed"
        if self.chunked:
            chunk = self.design.prefill_chunk
            with emit.scratch():
                emit.ceil_div("count", "tokens", chunk)
                chunks = emit.reg("count")
            with emit.loop(chunks):
                emit.add("rows", "tokens", 0)
                emit.alu("MINR", "rows", "rows", chunk)
                self._tokens()
                emit.origin = "embed"
                emit.add("position", "position", emit.reg("rows"))
                emit.alu("SUBR", "tokens", "tokens", emit.reg("rows"))
                emit.add("ids", "ids", self.memory.row_beats["ids"])
                emit.add("hidden", "hidden", chunk * self.memory.row_beats["hidden"])
        else:
            self._tokens()
        emit.origin = "head"
        emit.add("count", "head_rows", 0)
        emit.alu("MINR", "count", "count", 1)
        with emit.loop(emit.reg("count")):
            self._head()
        emit.origin = "end"
        emit.op("END")
        return emit.finish()

    def _tokens(self) -> None:
        """Everything up to the last layer, for the rows at hand."""
        emit = self.emit
        with emit.scratch():
            self._enter()
        with emit.scratch():
            self._layers()
        emit.origin = "hidden"
        with emit.scratch(), emit.loop(emit.reg("hidden_out")):
            self._hidden_rows(store=True)

    def _layers(self) -> None:
        emit = self.emit
        if not self.chunked:
            attention.measure(self)
        emit.alu("MULR", "layer", "first_layer", self.memory.layer.beats)
        emit.add("layer", "layer", self.memory.regions["layers"].start)
        emit.alu("MULR", "kv_base", "first_layer", emit.reg("kv_layer"))
        emit.add("kv_base", "kv_base", emit.reg("kv"))
        with emit.loop(emit.reg("layers"), layers=True):
            for node in self.graph.sections["layer"]:
                emit.origin = node.unit
                self._node(node, self.rows)
            emit.origin = "layers.*"
            emit.add("layer", "layer", self.memory.layer.beats)
            emit.add("kv_base", "kv_base", emit.reg("kv_layer"))

    def _enter(self) -> None:
        """Hidden states of the rows at hand, from token ids or from memory, and their positions."""
        emit, memory = self.emit, self.memory
        self._position_rows()
        with emit.loop(emit.reg("embed")):
            emit.op(
                "LD.G",
                reads=["memory.ids"],
                writes=self.touch("hidden"),
                type="bf16",
                table=memory.regions["embed"].start,
                ids=emit.reg("ids"),
                count=self.rows,
                len=self.graph.width("hidden"),
                dst=self.vector("hidden"),
            )
            for node in self.graph.sections["embed"]:
                if node.op == "position":
                    emit.op(
                        "ADD",
                        reads=self.touch("hidden", "position"),
                        writes=self.touch("hidden"),
                        dst=self.vector("hidden"),
                        a=self.vector("hidden"),
                        b=self.vector("position"),
                        rows=self.rows,
                        words=self.row_words("hidden"),
                    )
        emit.alu("SUBR", "count", None, emit.reg("embed"))
        emit.add("count", "count", 1)
        with emit.loop(emit.reg("count")):
            self._hidden_rows(store=False)

    def _each_row(self, body: Callable[[], None]) -> None:
        if self.chunked:
            with self.emit.loop(self.rows):
                body()
        else:
            body()

    def _position_rows(self) -> None:
        """Rotary factors or learned positions, a row a token."""
        emit, architecture = self.emit, self.graph.architecture
        width = (
            architecture.head_dim if architecture.position == "rope" else architecture.hidden_size
        )
        row_beats = self.memory.row_beats["position"]
        emit.alu("MULR", "address", "position", row_beats)
        emit.add("word", None, self.vector("position"))

        def load() -> None:
            emit.op(
                "LD.V",
                writes=self.touch("position"),
                addr=emit.reg("address", self.memory.regions["position"].start),
                dst=emit.reg("word"),
                count=width,
            )
            if self.chunked:
                emit.add("address", "address", row_beats)
                emit.add("word", "word", self.words(width))

        self._each_row(load)

    def _hidden_rows(self, *, store: bool) -> None:
        emit = self.emit
        width, row_beats = self.graph.width("hidden"), self.memory.row_beats["hidden"]
        emit.add("address", "hidden", 0)
        emit.add("word", None, self.vector("hidden"))

        def move() -> None:
            place = {"addr": emit.reg("address"), "count": width}
            if store:
                emit.op(
                    "ST.V",
                    reads=self.touch("hidden"),
                    writes=["memory.hidden"],
                    src=emit.reg("word"),
                    **place,
                )
            else:
                emit.op(
                    "LD.V",
                    reads=["memory.hidden"],
                    writes=self.touch("hidden"),
                    dst=emit.reg("word"),
                    **place,
                )
            if self.chunked:
                emit.add("address", "address", row_beats)
                emit.add("word", "word", self.words(width))

        self._each_row(move)

    # Nodes

    def _node(self, node: Node, rows: Ref | int) -> None:
        with self.emit.scratch():
            getattr(self, f"_{node.op}")(node, rows)

    def _vectors_of(self, tensor: str) -> tuple[str, Vectors]:
        for section in (self.memory.layer, self.memory.head):
            for name, vectors in section.vectors.items():
                if tensor in vectors.words:
                    return name, vectors
        raise KeyError(tensor)

    def parameter(self, tensor: str) -> tuple[str, int]:
        """The resource that holds a tensor on chip, and the tensor's first word."""
        name, vectors = self._vectors_of(tensor)
        return name, self.vector(name) + vectors.words[tensor]

    def _load_vectors(self, name: str, vectors: Vectors, addr: Ref) -> None:
        self.emit.op(
            "LD.V",
            writes=self.touch(name),
            addr=addr,
            dst=self.vector(name),
            count=vectors.size * self.lanes,
        )

    def _norm(self, node: Node, rows: Ref | int, source: Ref | int | None = None) -> None:
        emit = self.emit
        name, vectors = self._vectors_of(node.parameters[0])
        if name in self.memory.layer.vectors:
            self._load_vectors(name, vectors, emit.reg("layer", vectors.offset))
        else:
            self._load_vectors(
                name, vectors, Ref(0, self.memory.regions["head"].start + vectors.offset)
            )
        width = self.graph.width(node.output)
        self._normalise(
            "RMSNORM" if self.graph.architecture.norm == "rmsnorm" else "LAYERNORM",
            node,
            self.vector(node.inputs[0]) if source is None else source,
            rows,
            width,
        )

    def _normalise(
        self, name: str, node: Node, source: Ref | int, rows: Ref | int, width: int
    ) -> None:
        emit = self.emit
        resource, gain = self.parameter(node.parameters[0])
        emit.op("LI", rd=emit.number("inverse"), value=float_bits(1 / width))
        emit.op("LI", rd=emit.number("epsilon"), value=float_bits(self.graph.architecture.norm_eps))
        emit.op(
            name,
            reads=self.touch(*node.inputs, resource),
            writes=self.touch(node.output),
            dst=self.vector(node.output),
            src=source,
            gain=gain,
            rows=rows,
            len=width,
            inv=emit.number("inverse"),
            eps=emit.number("epsilon"),
        )

    def _head_norm(self, node: Node, rows: Ref | int) -> None:
        count: Ref | int
        if self.chunked:
            self.emit.alu("MULR", "count", "rows", node.heads)
            count = self.emit.reg("count")
        else:
            count = node.heads
        dim = self.graph.architecture.head_dim
        self._normalise("RMSNORM", node, self.vector(node.output), count, dim)

    def _rope(self, node: Node, rows: Ref | int) -> None:
        self.emit.op(
            "ROPE",
            reads=self.touch(node.output, "position"),
            writes=self.touch(node.output),
            src=self.vector(node.output),
            table=self.vector("position"),
            rows=rows,
            heads=node.heads,
            dim=self.graph.architecture.head_dim,
            stride=self.row_words(node.output),
        )

    def _bias(self, node: Node, rows: Ref | int) -> None:
        resource, word = self.parameter(node.parameters[0])
        self.emit.op(
            "ADD",
            reads=self.touch(node.output, resource),
            writes=self.touch(node.output),
            dst=self.vector(node.output),
            a=self.vector(node.output),
            b=word,
            rows=rows,
            words=self.row_words(node.output),
            broadcast="1",
        )

    def _add(self, node: Node, rows: Ref | int) -> None:
        first, second = node.inputs
        self.emit.op(
            "ADD",
            reads=self.touch(first, second),
            writes=self.touch(node.output),
            dst=self.vector(node.output),
            a=self.vector(first),
            b=self.vector(second),
            rows=rows,
            words=self.row_words(node.output),
        )

    def _activation(self, node: Node, rows: Ref | int) -> None:
        emit, words = self.emit, self.row_words(node.output)
        count: Ref | int = words
        if self.chunked:
            emit.alu("MULR", "count", "rows", words)
            count = emit.reg("count")
        emit.op(
            "ACT",
            reads=self.touch(*node.inputs),
            writes=self.touch(node.output),
            func=node.parameters[0],
            gated=str(int(node.op == "gated_activation")),
            dst=self.vector(node.output),
            a=self.vector(node.inputs[0]),
            b=self.vector(node.inputs[-1]),
            count=count,
        )

    _gated_activation = _activation

    def _quantise(self, node: Node, rows: Ref | int) -> None:
        self.emit.op(
            "QUANT",
            reads=self.touch(*node.inputs),
            writes=[node.output],
            src=self.vector(node.inputs[0]),
            dst=self.buffers.activation[node.output],
            rows=rows,
            len=self.graph.width(node.inputs[0]),
            stride=self.row_words(node.inputs[0]),
        )

    def product(
        self, node: Node, matrix: Matrix, addr: Ref, rows: Ref | int, dst_words: int
    ) -> None:
        """Stream a matrix and multiply: `dst_words` is the width of a result row."""
        emit, engine = self.emit, engine_of(self.chunked)
        shape = {"fmt": matrix.format.name, "blocks": matrix.blocks, "groups": matrix.groups}
        emit.op("LD.W", to=engine.name, addr=addr, **shape)
        emit.op(
            engine.name,
            reads=[node.inputs[0]],
            writes=self.touch(node.output),
            src=self.buffers.activation[node.inputs[0]],
            rows=rows,
            dst=self.vector(node.output),
            stride=dst_words,
            **shape,
        )

    def _product(self, node: Node, rows: Ref | int) -> None:
        matrix = self.memory.layer.matrices[node.unit]
        addr = self.emit.reg("layer", matrix.offset)
        self.product(node, matrix, addr, rows, self.row_words(node.output))

    def _append(self, node: Node, rows: Ref | int) -> None:
        attention.append(self, node, rows)

    def _attend(self, node: Node, rows: Ref | int) -> None:
        if self.chunked:
            attention.attend_chunk(self, node)
        else:
            attention.attend_token(self, node)

    # Head

    def _head(self) -> None:
        """Final norm, tiled head and running argmax for the last `head_rows` rows."""
        emit = self.emit
        nodes = self.graph.sections["head"]
        rows = emit.reg("head_rows")
        source: Ref | int = self.vector("hidden")
        if self.chunked:
            emit.alu("SUBR", "word", "rows", rows)
            emit.alu("MULR", "word", "word", self.row_words("hidden"))
            source = emit.reg("word", self.vector("hidden"))
        for node in nodes:
            emit.origin = node.unit
            if node.op == "norm":
                self._norm(node, rows, source)
            elif node.op == "product":
                self._tiles(node, rows)
            elif node.op != "argmax":
                self._node(node, rows)

    def _tiles(self, node: Node, rows: Ref) -> None:
        emit, memory = self.emit, self.memory
        matrix = memory.head.matrices[node.unit]
        tile = matrix.blocks * self.design.rows
        tile_words = self.words(tile)
        emit.op("ARGMAX", reads=["argmax"], writes=["argmax"], first="1")
        emit.add("address", None, memory.regions["head"].start + matrix.offset)
        emit.add("base", None, 0)
        emit.add("store", None, memory.regions["logits"].start)
        emit.alu("SUBR", "last", "head_rows", 1)
        emit.alu("MULR", "last", "last", tile_words)
        with emit.loop(matrix.tiles):
            self.product(node, matrix, emit.reg("address"), rows, tile_words)
            emit.add("count", None, matrix.outputs)
            emit.alu("SUBR", "count", "count", emit.reg("base"))
            emit.alu("MINR", "count", "count", tile)
            emit.op(
                "ARGMAX",
                reads=self.touch("logits") | {"argmax"},
                writes=["argmax"],
                src=emit.reg("last", self.vector("logits")),
                count=emit.reg("count"),
                base=emit.reg("base"),
            )
            with emit.loop(emit.reg("logits")):
                self._store_logits(tile, tile_words)
            emit.add("address", "address", matrix.tile_beats)
            emit.add("base", "base", tile)
            emit.add("store", "store", tile * 4 // self.design.bytes_per_cycle)
        emit.op("ARG", reads=["argmax"], rd=emit.number("count"))
        emit.op(
            "ST.W",
            writes=["memory.result"],
            value=emit.reg("count"),
            addr=memory.regions["result"].start,
        )

    def _store_logits(self, tile: int, tile_words: int) -> None:
        emit = self.emit
        emit.add("word", None, self.vector("logits"))
        emit.add("row_store", "store", 0)
        with emit.loop(emit.reg("head_rows")):
            emit.op(
                "ST.V",
                reads=self.touch("logits"),
                writes=["memory.logits"],
                src=emit.reg("word"),
                addr=emit.reg("row_store"),
                count=tile,
            )
            emit.add("word", "word", tile_words)
            emit.add("row_store", "row_store", self.memory.row_beats["logits"])
