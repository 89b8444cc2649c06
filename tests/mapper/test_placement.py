"""Placement: regions and buffers do not overlap, and the fit report says what does not fit."""

import itertools
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.shapes import GPT2, LLAMA2_7B, SMOLLM2, sized

from alula.design import load_design
from alula.ir import Architecture, build_graph
from alula.mapper import KvLayout, map_decode, map_memory, map_prefill

KV260 = load_design("kv260")
CASES = [(SMOLLM2, "kv260", 512), (GPT2, "kv260", 1024), (LLAMA2_7B, "u280", 4096)]


@pytest.mark.parametrize(("shape", "design", "context"), CASES)
def test_regions_follow_each_other(shape: Architecture, design: str, context: int) -> None:
    memory = map_memory(build_graph(shape), load_design(design), context)
    regions = sorted(memory.regions.values(), key=lambda region: region.start)
    for first, second in itertools.pairwise(regions):
        assert first.end == second.start


def test_sizes_of_regions() -> None:
    """SmolLM2-135M in beats of 64 bytes, counted by hand: 576 wide, 49,152 words, 30 layers."""
    design = KV260.replace({"prefill_chunk": 64})
    memory = map_memory(build_graph(SMOLLM2), design, 500)
    scaled = 0.5 + 2 / 32  # bytes of a 4-bit weight with its share of scale and offset
    weights = 576 * (576 + 2 * 192 + 3 * 1536) + 576 * 576
    rows = 2 * 576 + 2 * 192 + 2 * 1536 + 576  # each with a scale of 2 bytes
    assert {name: region.beats for name, region in memory.regions.items()} == {
        "result": 1,
        "logits": 64 * 49152 * 4 // 64,
        "embed": 49152 * 2 * 576 // 64,
        "head": 4 * 576 // 64 + 49152 * (576 + 2) // 64,
        "layers": 30 * (2 * 4 * 576 + weights * scaled + 2 * rows) / 64,
        "position": 500 * 4 * 64 // 64,
        "ids": 8 * 64 * 4 // 64,
        "hidden": 500 * 576 * 4 // 64,
        "kv": 30 * 3 * (512 * (64 + 2) + 512 * (64 + 2)) // 64,
    }


@pytest.mark.parametrize(("shape", "design", "context"), CASES)
def test_tensors_of_a_section_follow_each_other(
    shape: Architecture, design: str, context: int
) -> None:
    memory = map_memory(build_graph(shape), load_design(design), context)
    for section in (memory.runs[0].section, memory.head):
        beats = load_design(design).bytes_per_cycle
        spans = [
            (item.offset, -(-item.size * load_design(design).vector_word_bytes // beats))
            for item in section.vectors.values()
        ]
        spans += [(item.offset, item.tiles * item.tile_beats) for item in section.matrices.values()]
        spans.sort()
        for (start, size), (following, _) in itertools.pairwise(spans):
            assert start + size == following
        assert spans[-1][0] + spans[-1][1] == section.beats


def test_context_moves_only_what_comes_last() -> None:
    graph = build_graph(SMOLLM2)
    short, long = (map_memory(graph, KV260, context) for context in (256, 8192))
    for name in ("result", "logits", "embed", "head", "layers"):
        assert short.regions[name] == long.regions[name]
    assert short.regions["position"].start == long.regions["position"].start


def test_buffers_that_share_an_arena_take_turns() -> None:
    graph = build_graph(SMOLLM2)
    buffers = map_prefill(graph, KV260, map_memory(graph, KV260, 512))
    assert buffers.vector["gate"] == buffers.vector["logits"]
    assert buffers.overlap("gate", "logits")
    assert buffers.overlap("q", "logits")
    assert not buffers.overlap("gate", "q")
    assert buffers.arena("scores0") == buffers.arena("q") == "attention"
    assert buffers.arena("hidden") is None


def test_prefill_takes_fewer_rows_of_scores_when_the_context_is_long() -> None:
    graph = build_graph(SMOLLM2)
    small = KV260.replace({"buffers.vector_kib": 512, "prefill_chunk": 2 * KV260.mpe.tokens})
    buffers = [
        map_prefill(graph, small, map_memory(graph, small, context)) for context in (256, 8192)
    ]
    assert [item.streams for item in buffers] == [1, 1]
    rows = [item.attention_rows for item in buffers]
    assert rows[0] == small.prefill_chunk > rows[1] >= small.mpe.tokens


@pytest.mark.parametrize("context", [32, 512, 8192])
def test_halves_of_a_chunk_take_turns_at_any_context_or_at_none(context: int) -> None:
    graph = build_graph(SMOLLM2)
    one_pass = KV260.replace({"prefill_chunk": KV260.mpe.tokens})
    for design, streams in ((KV260, 2), (one_pass, 1)):
        buffers = map_prefill(graph, design, map_memory(graph, design, context))
        assert buffers.streams == streams
        assert buffers.streams * buffers.rows >= design.prefill_chunk


WIDE = replace(sized(SMOLLM2, 576, 128, 1536), max_context=1024)
"""K and V of a head take memory longer than the SFU takes for a pass of scores."""


@pytest.mark.parametrize(
    ("shape", "chunk", "rows", "copies"),
    [(SMOLLM2, 32, 8, 2), (SMOLLM2, 16, 8, 1), (WIDE, 32, 16, 1)],
)
def test_rows_of_a_half_alternate_where_the_sfu_takes_longer_than_memory(
    shape: Architecture, chunk: int, rows: int, copies: int
) -> None:
    graph, design = build_graph(shape), KV260.replace({"prefill_chunk": chunk})
    buffers = map_prefill(graph, design, map_memory(graph, design, 512))
    assert (buffers.streams, buffers.rows) == (2, chunk // 2)
    assert (buffers.attention_rows, buffers.copies) == (rows, copies)
    assert ("scores1" in buffers.vector) == (copies == 2)
    assert not {"scales1", "query0"} & (buffers.vector.keys() | buffers.activation.keys())


def test_decode_alternates_between_two_copies() -> None:
    graph = build_graph(SMOLLM2)
    buffers = map_decode(graph, KV260, map_memory(graph, KV260, 512))
    assert buffers.attention_rows == 3
    assert {"scores0", "scores1", "scales1"} <= set(buffers.vector)


@given(st.integers(1, 4000), st.sampled_from(["tiny", "kv260", "u280", "vhk158"]))
def test_kv_heads_do_not_overlap(context: int, name: str) -> None:
    layout = KvLayout.of(SMOLLM2, load_design(name), context)
    assert context <= layout.context < context + 32
    starts = [
        layout.layer_stride + fields["addr"] + head * fields["stride"]
        for fields in (layout.key_rows(0, 1), layout.value_rows(0, 1))
        for head in range(layout.heads)
    ]
    assert starts == sorted(starts)
    assert starts[0] == layout.layer_stride
    assert starts[-1] + layout.v_stride == 2 * layout.layer_stride
