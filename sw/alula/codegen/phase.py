"""One phase of a model, prefill or decode, from its graph and its placement to a program.

Both phases come from the same walk over the graph. Prefill wraps it in a loop over chunks and takes
its number of rows from a register; decode has one row and unrolls the heads so that they overlap.
"""

from alula.codegen import attention, block_cache, pipeline
from alula.codegen.emitter import Emitter
from alula.codegen.entry import enter, hidden_rows
from alula.codegen.head import emit_head
from alula.codegen.layer import emit_node
from alula.codegen.runs import enter_run, next_layer, start_layers
from alula.codegen.scope import Scope
from alula.design import Design
from alula.ir import Graph
from alula.isa import Program, RegionName
from alula.mapper import BufferMap, MemoryMap

PREFILL, DECODE = "prefill", "decode"


def _constants(memory: MemoryMap, buffers: BufferMap, *, chunked: bool) -> list[tuple[str, int]]:
    """Everything that depends on the context: registers, so that code does not."""
    kv = memory.kv
    return [
        ("k_stride", kv.k_stride),
        ("v_stride", kv.v_stride),
        ("v_pitch", kv.v_pitch),
        ("kv_layer", kv.layer_stride),
        ("score_stride", buffers.score_stride),
        ("kv", memory.regions[RegionName.KV].start),
        ("ids", memory.regions[RegionName.IDS].start),
        ("hidden", memory.regions[RegionName.HIDDEN].start),
        *attention.constants(buffers, chunked=chunked),
    ]


def emit_phase(
    name: str, graph: Graph, design: Design, memory: MemoryMap, buffers: BufferMap
) -> Program:
    """The program of a phase, `PREFILL` or `DECODE`."""
    chunked = name == PREFILL
    emit = Emitter(name, design.hash)
    scope = Scope(emit, graph, design, memory, buffers, chunked=chunked)
    for register, value in _constants(memory, buffers, chunked=chunked):
        emit.constant(register, value)
    emit.origin = "embed"
    if chunked:
        _chunks(scope)
    else:
        _tokens(scope)
    emit.origin = "head"
    emit.add("count", "head_rows", 0)
    emit.alu("SMIN", "count", "count", 1)
    with emit.loop(emit.reg("count")):
        emit_head(scope)
    emit.origin = "end"
    emit.op("END")
    return emit.finish()


def _chunks(scope: Scope) -> None:
    """All tokens of a prompt, a chunk at a time."""
    emit, chunk = scope.emit, scope.memory.chunk
    with emit.scratch():
        emit.ceil_div("count", "tokens", chunk)
        count = emit.reg("count")
    with emit.loop(count):
        emit.add("rows", "tokens", 0)
        emit.alu("SMIN", "rows", "rows", chunk)
        _tokens(scope)
        emit.origin = "embed"
        emit.add("position", "position", emit.reg("rows"))
        emit.alu("SSUB", "tokens", "tokens", emit.reg("rows"))
        emit.add("ids", "ids", scope.memory.row_beats[RegionName.IDS])
        emit.add("hidden", "hidden", chunk * scope.memory.row_beats[RegionName.HIDDEN])


def _tokens(scope: Scope) -> None:
    """Everything up to the last layer, for the rows at hand."""
    emit = scope.emit
    with emit.scratch():
        enter(scope)
    with emit.scratch():
        _layers(scope)
    emit.origin = "hidden"
    with emit.scratch(), emit.loop(emit.reg("hidden_out")):
        hidden_rows(scope, store=True)


def _layers(scope: Scope) -> None:
    if scope.buffers.streams > 1:
        pipeline.emit_layers(scope)
        return
    if not scope.chunked:
        blocks = scope.graph.architecture.blocks
        (attention if blocks is None else block_cache).measure(scope)
    start_layers(scope)
    for run in scope.memory.runs:
        _layer_loop(scope.through(run))


def _layer_loop(scope: Scope) -> None:
    """The layers of a run, for the rows at hand."""
    emit = scope.emit
    with emit.loop(enter_run(scope), layers=scope.run.first):
        for node in scope.graph.sections["layer"]:
            emit.origin = node.unit
            emit_node(scope, node, scope.rows)
        next_layer(scope)
