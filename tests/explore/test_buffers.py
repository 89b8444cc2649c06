"""Buffers sized by CP-SAT, and what excludes each other."""

import itertools

import pytest
from tests.explore.conftest import VALUES

from alula.design import Design, DesignError, load_design
from alula.explore import Sweep, sweep
from alula.explore.buffers import NAMES, size_buffers
from alula.explore.models import model_of
from alula.ir import build_graph
from alula.ir.padding import pad_heads
from alula.mapper import place

CASES = [("kv260", "smollm2-135m"), ("u280", "llama2-7b")]


def _share(design: Design) -> float:
    """Of its part's memory blocks, both kinds added."""
    blocks, part = design.blocks, design.part
    return blocks.bram36 / part.bram36 + blocks.uram / part.uram


@pytest.mark.parametrize(("design", "model"), CASES)
def test_the_smallest_hold_the_prefill_chunk_and_less_does_not(design: str, model: str) -> None:
    chosen, found = load_design(design), model_of(model)
    sizing = size_buffers(chosen, found)
    assert sizing.fields is not None
    smallest = chosen.replace(sizing.fields)
    assert _share(smallest) <= _share(chosen)
    graph = build_graph(pad_heads(found.shape))
    report = place(graph, smallest, 512).report
    assert report.fits
    assert report.chunk == chosen.prefill_chunk
    half = {"buffers.vector_kib": sizing.fields["buffers.vector_kib"] // 2}
    assert place(graph, smallest.replace(half), 512).report.chunk < chosen.prefill_chunk


@pytest.mark.parametrize(("design", "model"), CASES)
def test_what_takes_less_does_not_hold_the_chunk(design: str, model: str) -> None:
    """Larger buffers count too: a deeper memory may go to the kind of block that suits it."""
    chosen, found = load_design(design), model_of(model)
    fields = size_buffers(chosen, found).fields
    assert fields is not None
    least = _share(chosen.replace(fields))
    graph = build_graph(pad_heads(found.shape))
    tokens = min(chosen.context_max, found.shape.max_context)
    cheaper = 0
    scales = ([size // 2, size * 3 // 4, size, 2 * size] for size in fields.values())
    for sizes in itertools.product(*scales):
        try:
            other = chosen.replace(dict(zip(fields, sizes, strict=True)))
        except DesignError:
            continue
        if _share(other) < least:
            report = place(graph, other, tokens, found.formats.precision).report
            assert not report.fits or report.chunk < chosen.prefill_chunk, sizes
            cheaper += 1
    assert cheaper > 20


def test_given_buffers_stay() -> None:
    chosen = load_design("kv260")
    sizing = size_buffers(chosen, model_of("smollm2-135m"), ("stream", "vector"))
    assert sizing.fields is not None
    assert sizing.fields.keys() == {"buffers.activation_kib", "buffers.staging_kib"}


def test_what_excludes_each_other_does_so_only_together() -> None:
    chosen, model = load_design("kv260"), model_of("llama2-7b")
    sizing = size_buffers(chosen, model)
    assert sizing.fields is None
    assert any("UltraRAM" in reason for reason in sizing.conflict)
    assert any("vector_kib" in reason for reason in sizing.conflict)
    assert sizing.line.endswith(" exclude each other")
    larger = chosen.model_copy(
        update={"part": chosen.part.model_copy(update={"uram": 640, "bram36": 1440})}
    )
    assert size_buffers(larger, model).fields is not None


def test_a_sweep_with_the_smallest_buffers() -> None:
    axes = {"sfu.lanes": [2, 4], "buffers.stream_kib": [16, 32]}
    values = VALUES | {"axes": axes, "buffers": "smallest", "search": "all"}
    found = sweep(Sweep.from_mapping(values, "s.yaml"), processes=0)
    assert (len(found.rows), found.impossible, found.failed) == (4, [], [])
    for row in found.rows.values():
        question = found.space.question(row.values)
        assert question.design.buffers.stream_kib == row.values["buffers.stream_kib"]
        assert question.design.buffers.vector_kib < load_design("nano").buffers.vector_kib
    assert {"stream", "program"} <= set(NAMES)


def test_no_buffers_are_a_row_with_the_conflict() -> None:
    change = {"base": "kv260", "model": "llama2-7b", "buffers": "smallest", "search": "all"}
    axes = {"mpe.tokens": [2, 4]}
    found = sweep(Sweep.from_mapping(VALUES | change | {"axes": axes}, "s.yaml"), processes=0)
    assert len(found.impossible) == 2
    short = found.rows[0].shortfall
    assert short is not None
    assert short.what == "buffers"
    assert "exclude each other" in str(short.demand)
    assert short.remedy == "a smaller prefill_chunk, a shorter context, or a larger part"
