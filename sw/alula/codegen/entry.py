"""How rows come into a phase and leave it: embeddings, positions, hidden states."""

from alula.codegen.scope import Scope
from alula.isa import RegionName


def enter(scope: Scope) -> None:
    """Hidden states of the rows at hand, from token ids or from memory, and their positions."""
    emit, memory = scope.emit, scope.memory
    _position_rows(scope)
    with emit.loop(emit.reg("embed")):
        emit.op(
            "LD.G",
            reads=["memory.ids"],
            writes=scope.touch("hidden"),
            type="bf16",
            table=memory.regions[RegionName.EMBED].start,
            ids=emit.reg("ids"),
            count=scope.rows,
            len=scope.graph.width("hidden"),
            dst=scope.vector("hidden"),
        )
        for node in scope.graph.sections["embed"]:
            if node.op == "position":
                emit.op(
                    "ADD",
                    reads=scope.touch("hidden", "position"),
                    writes=scope.touch("hidden"),
                    dst=scope.vector("hidden"),
                    a=scope.vector("hidden"),
                    b=scope.vector("position"),
                    rows=scope.rows,
                    words=scope.row_words("hidden"),
                )
    emit.alu("SSUB", "count", None, emit.reg("embed"))
    emit.add("count", "count", 1)
    with emit.loop(emit.reg("count")):
        hidden_rows(scope, store=False)


def _position_rows(scope: Scope) -> None:
    """Rotary factors or learned positions, a row a token."""
    emit, width = scope.emit, scope.graph.architecture.position_width
    row_beats = scope.memory.row_beats[RegionName.POSITION]
    emit.alu("SMUL", "address", "position", row_beats)
    emit.add("word", None, scope.vector("position"))

    def load() -> None:
        emit.op(
            "LD.V",
            writes=scope.touch("position"),
            addr=emit.reg("address", scope.memory.regions[RegionName.POSITION].start),
            dst=emit.reg("word"),
            count=width,
        )
        if scope.chunked:
            emit.add("address", "address", row_beats)
            emit.add("word", "word", scope.words(width))

    scope.each_row(load)


def hidden_rows(scope: Scope, *, store: bool) -> None:
    """Move the hidden states of the rows at hand to or from memory."""
    emit = scope.emit
    width, row_beats = scope.graph.width("hidden"), scope.memory.row_beats[RegionName.HIDDEN]
    emit.add("address", "hidden", 0)
    emit.add("word", None, scope.vector("hidden"))

    def move() -> None:
        place = {"addr": emit.reg("address"), "count": width}
        if store:
            emit.op(
                "ST.V",
                reads=scope.touch("hidden"),
                writes=["memory.hidden"],
                src=emit.reg("word"),
                **place,
            )
        else:
            emit.op(
                "LD.V",
                reads=["memory.hidden"],
                writes=scope.touch("hidden"),
                dst=emit.reg("word"),
                **place,
            )
        if scope.chunked:
            emit.add("address", "address", row_beats)
            emit.add("word", "word", scope.words(width))

    scope.each_row(move)
