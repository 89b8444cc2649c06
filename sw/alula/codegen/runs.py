"""Runs of layers whose tensors lie alike: a loop each, which goes through the layers asked for."""

from alula.codegen.scope import Scope
from alula.isa import Ref, RegionName


def start_layers(scope: Scope) -> None:
    """Set the registers that go from layer to layer."""
    emit = scope.emit
    emit.number("layer")
    emit.alu("SMUL", "kv_base", "first_layer", emit.reg("kv_layer"))
    emit.add("kv_base", "kv_base", emit.reg("kv"))


def enter_run(scope: Scope) -> Ref:
    """Set register `layer` to the first layer asked for of a run; return how many there are.

    Of the run from layer a to before b these are the layers from ``max(first_layer, a)`` to before
    ``min(first_layer + layers, b)``; there may be none.
    """
    emit, run = scope.emit, scope.run
    emit.origin = "layers.*"
    place = scope.memory.regions[RegionName.LAYERS].start + run.start
    if len(scope.memory.runs) == 1:
        emit.alu("SMUL", "layer", "first_layer", run.section.beats)
        emit.add("layer", "layer", place)
        return emit.reg("layers")
    with emit.scratch():
        _count(scope, "run_layers", "layer")
        count = emit.reg("run_layers")
        emit.alu("SMUL", "layer", "layer", run.section.beats)
        emit.add("layer", "layer", place)
    return count


def any_layer(scope: Scope) -> Ref:
    """Return 1 if a layer of the run is asked for, else 0."""
    emit = scope.emit
    with emit.scratch():
        asked = "layers"
        if len(scope.memory.runs) > 1:
            asked = "run_layers"
            _count(scope, asked, "run_begin")
        emit.alu("SMIN", "count", asked, 1)
        return emit.reg("count")


def next_layer(scope: Scope) -> None:
    """Go on to the next layer."""
    emit = scope.emit
    emit.origin = "layers.*"
    emit.add("layer", "layer", scope.run.section.beats)
    emit.add("kv_base", "kv_base", emit.reg("kv_layer"))


def _count(scope: Scope, count: str, begin: str) -> None:
    """Set `count` to the layers asked for of a run, `begin` to how many of it come before."""
    emit, run = scope.emit, scope.run
    emit.alu("SMIN", begin, "first_layer", run.first)
    emit.alu("SSUB", begin, "first_layer", emit.reg(begin))
    emit.add(count, "first_layer", emit.reg("layers"))
    emit.alu("SMIN", count, count, run.end)
    with emit.scratch():
        emit.alu("SMIN", "run_least", count, emit.reg(begin, run.first))
        emit.alu("SSUB", count, count, emit.reg("run_least"))
