"""Everything of a compiled model that needs no weights, and the proof that it fits."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import lru_cache
from typing import NamedTuple

from alula.codegen.dry_run import dry_run
from alula.codegen.emitter import OutOfRegisters
from alula.codegen.phase import DECODE, PREFILL, emit_phase
from alula.design import Design
from alula.ir import Architecture, Graph, Precision, build_graph
from alula.ir.padding import pad_heads
from alula.isa import IsaError, Program
from alula.isa.fields import REGISTERS
from alula.mapper import DoesNotFit, FitItem, FitReport, MemoryMap, ModelPlacement, place


class ProgramPlan(NamedTuple):
    """A placed model and its programs."""

    graph: Graph
    memory: MemoryMap
    prefill: Program
    decode: Program
    fit: FitReport


def plan(
    architecture: Architecture, design: Design, context: int, precision: Precision = Precision()
) -> ProgramPlan:
    """Place a model and generate its programs.

    Raises:
        UnsupportedShape: no design can run a model of this shape.
        DoesNotFit: this design cannot; its report names what would fix it.
    """
    found = attempt(architecture, design, context, precision)
    if isinstance(found, FitReport):
        from alula.codegen.levers import levers

        raise DoesNotFit(replace(found, levers=levers(architecture, design, context, precision)))
    return found


def fit_report(
    architecture: Architecture, design: Design, context: int, precision: Precision = Precision()
) -> FitReport:
    """What a model of this shape needs of a design. UnsupportedShape if no design can run it.

    That it fits is proved: its programs are generated and run without data for every length.
    """
    try:
        return plan(architecture, design, context, precision).fit
    except DoesNotFit as error:
        return error.report


def attempt(
    architecture: Architecture,
    design: Design,
    context: int,
    precision: Precision,
    *,
    proved: bool = True,
    make: Callable[[Graph, Design, ModelPlacement], tuple[Program, Program]] | None = None,
) -> ProgramPlan | FitReport:
    """The plan of a model, or the report that says what does not fit, without levers.

    Only if `proved` is every operand of the programs known to be within its limits. `make` is used
    instead of `generate`. A chunk is not cut in two where that takes more registers or a longer
    program than there is room for.
    """
    make = make or generate
    graph = _graph(architecture)
    placement = place(graph, design, context, precision)
    if not placement.report.fits:
        return placement.report
    programs = _made(make, graph, design, placement)
    if programs is None or not all(item.fits for item in _program_items(programs, design)):
        placement = place(graph, design, context, precision, halves=False)
        programs = _made(make, graph, design, placement)
    if programs is None:
        item = FitItem("registers", "prefill", REGISTERS, REGISTERS - 1, "")
        return replace(placement.report, items=[*placement.report.items, item])
    items = [*placement.report.items, *_program_items(programs, design)]
    report = replace(placement.report, items=items)
    if proved and report.fits:
        report = replace(report, items=[*items, *_excesses(programs, design, placement, graph)])
    return ProgramPlan(graph, placement.memory, *programs, report) if report.fits else report


def _made(
    make: Callable[[Graph, Design, ModelPlacement], tuple[Program, Program]],
    graph: Graph,
    design: Design,
    placement: ModelPlacement,
) -> tuple[Program, Program] | None:
    """The programs of a placed graph; None if they take more registers than there are."""
    try:
        return make(graph, design, placement)
    except OutOfRegisters:
        return None


@lru_cache(maxsize=32)
def _graph(architecture: Architecture) -> Graph:
    return build_graph(pad_heads(architecture))


def generate(graph: Graph, design: Design, placement: ModelPlacement) -> tuple[Program, Program]:
    """The prefill and the decode program of a placed graph."""
    try:
        return (
            emit_phase(PREFILL, graph, design, placement.memory, placement.prefill),
            emit_phase(DECODE, graph, design, placement.memory, placement.decode),
        )
    except IsaError as error:
        raise IsaError(f"{design.name}: a field is too small for this model: {error}") from None


def _program_items(programs: Sequence[Program], design: Design) -> list[FitItem]:
    bound, key = design.program_bytes, "buffers.program_kib"
    return [
        FitItem("program", program.name, len(program.code), bound, "bytes", key)
        for program in programs
    ]


def _excesses(
    programs: Sequence[Program], design: Design, placement: ModelPlacement, graph: Graph
) -> list[FitItem]:
    """What an instruction would be refused for, an item each; none in a model that fits."""
    chunk, context = placement.memory.chunk, placement.report.context
    runs, layers = placement.memory.runs, graph.architecture.layers
    firsts = [run.first for run in runs]
    return [
        FitItem(f"{excess.what} ({excess.origin})", program.name, excess.value, excess.limit, "")
        for program in programs
        for excess in dry_run(
            program,
            design,
            context=context,
            chunk=chunk,
            layers={*firsts, layers - 1},
            blocks=graph.architecture.blocks is not None,
        )
    ]
