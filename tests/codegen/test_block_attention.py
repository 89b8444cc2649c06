"""Attention to some blocks of positions: the machine model against the integer reference."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.codegen.test_families import DESIGNS, Bench
from tests.shapes import FAMILIES, SMOLLM2, RandomCheckpoint

from alula.codegen import compile_model
from alula.codegen.plan import plan
from alula.design import load_design
from alula.ir import Architecture, AttentionBlocks
from alula.ir.attention_blocks import BLOCK
from alula.isa import RegionName
from alula.mapper import DoesNotFit
from alula.quant import QuantizedModel
from alula.quant.blocks import attended
from alula.quant.reference import IntegerReference
from alula.runtime.kv_memory import KvMemory

CONTEXT = 448
SPREAD = AttentionBlocks.spread(2, local=2, sinks=1, stride=4)
PATTERNS = {
    "spread": SPREAD,
    "sinks": AttentionBlocks(local=3, sinks=2, strides=(0, 0), offsets=(0, 0)),
    "apart": AttentionBlocks(local=1, sinks=1, strides=(3, 0), offsets=(2, 0)),
}


def blocked(family: str, blocks: AttentionBlocks) -> Architecture:
    """A family's shape with blocks for each KV head."""
    shape = FAMILIES[family]
    if len(blocks.strides) != shape.kv_heads:
        blocks = AttentionBlocks.spread(
            shape.kv_heads, local=blocks.local, sinks=blocks.sinks, stride=blocks.strides[0]
        )
    return replace(shape, layers=1, max_context=CONTEXT, blocks=blocks)


@pytest.mark.parametrize(
    ("family", "pattern", "design"),
    [
        ("smollm", "spread", "kv260"),
        ("smollm", "sinks", "kv260"),
        ("smollm", "apart", "tiny"),
        ("multi-query", "spread", "undivided"),
        ("capped", "spread", "tiny"),
        ("gpt2", "apart", "kv260"),
    ],
)
def test_machine_equals_reference(family: str, pattern: str, design: str) -> None:
    """Prompts that begin and end anywhere in a block, and single tokens on both sides of edges."""
    shape = blocked(family, PATTERNS[pattern])
    model = QuantizedModel(RandomCheckpoint(shape))
    wide = DESIGNS[design].replace({"context_max": CONTEXT, "buffers.program_kib": 64})
    bench = Bench(compile_model(model, wide, CONTEXT))
    reference, position = IntegerReference(model), 0
    caches = reference.cache()
    ids = np.random.default_rng(3).integers(0, 160, CONTEXT)
    for count in (1, 61, 1, 1, 1, 130, 1, 1, 124, 62, 1, 1, 62, 1):
        part = [int(token) for token in ids[position : position + count]]
        bench.run(part, position)
        positions = torch.arange(position, position + count)
        hidden = reference.embed(torch.tensor(part), positions)
        hidden = reference.layer(0, hidden, positions, caches[0])
        found = bench.rows(RegionName.HIDDEN, count, shape.hidden_size)
        np.testing.assert_array_equal(found, hidden.numpy().view(np.uint32), f"{position}+{count}")
        position += count
    assert position == CONTEXT


@pytest.mark.parametrize(("family", "name"), [("smollm", "kv260"), ("smollm", "tiny")])
def test_keys_and_values_cross(family: str, name: str) -> None:
    """A device that is given another's keys and values gives the same tokens from there on."""
    shape = blocked(family, SPREAD)
    design = DESIGNS[name].replace({"context_max": CONTEXT, "buffers.program_kib": 64})
    build = compile_model(QuantizedModel(RandomCheckpoint(shape)), design, CONTEXT)
    ids = [int(token) for token in np.random.default_rng(4).integers(0, 160, 331)]
    one, other = Bench(build), Bench(build)
    one.run(ids, 0)
    base = build.image.regions[RegionName.KV].start
    source, target = (
        KvMemory(build.kv, design, bench.machine, base, shape.blocks)  # type: ignore[arg-type]
        for bench in (one, other)
    )
    target.write(0, 0, source.read(0, 0, len(ids)))
    for position in range(len(ids), len(ids) + 3):
        for bench in (one, other):
            bench.run([position % 160], position)
        found, expected = (bench.rows(RegionName.HIDDEN, 1, 64) for bench in (other, one))
        np.testing.assert_array_equal(found, expected)


def test_what_is_freed_is_told() -> None:
    shape = replace(SMOLLM2, blocks=AttentionBlocks.spread(3, local=4, sinks=1, stride=6))
    dense, some = (
        plan(one, DESIGNS["kv260"], 2048).fit for one in (replace(shape, blocks=None), shape)
    )
    cache, held = (
        next(item.demand for item in fit.items if item.resource == "KV cache")
        for fit in (dense, some)
    )
    assert some.freed == cache - held
    assert 0.4 * cache < held < 0.6 * cache
    assert f"{some.freed:,} bytes less" in some.table()
    assert dense.freed == 0


def test_blocks_must_be_whole_scale_beats() -> None:
    shape = replace(SMOLLM2, blocks=AttentionBlocks.spread(3, local=4, sinks=1, stride=6))
    with pytest.raises(DoesNotFit, match=r"attention blocks \(both\) must be at most 64 positions"):
        plan(shape, load_design("u280"), 2048)


@pytest.mark.parametrize(
    ("values", "text"),
    [
        ({"local": 0}, "local must be at least 1, not 0"),
        ({"sinks": 0}, "sinks must be at least 1, not 0"),
        ({"strides": (1, 4)}, "stride must be 0 or more than 1 sinks, not 1"),
        ({"offsets": (0, 2)}, "offset must be 1 to 3, not 0"),
        ({"offsets": (1,)}, "offsets must be 2, one for each stride, not 1"),
    ],
)
def test_impossible_patterns(values: dict[str, object], text: str) -> None:
    good = {"local": 2, "sinks": 1, "strides": (4, 4), "offsets": (1, 2)}
    with pytest.raises(ValueError, match=text):
        AttentionBlocks(**good | values)  # type: ignore[arg-type]


@settings(max_examples=60)
@given(data=st.data())
def test_numbers_of_blocks_are_those_of_the_masks(data: st.DataObject) -> None:
    """The closed forms that programs compute against the definition, and against the masks."""
    sinks = data.draw(st.integers(1, 3))
    stride = data.draw(st.sampled_from([0, *range(sinks + 1, 9)]))
    offset = data.draw(st.integers(sinks, stride - 1)) if stride else 0
    local, position = data.draw(st.integers(1, 5)), data.draw(st.integers(0, 1600))
    blocks = AttentionBlocks(local=local, sinks=sinks, strides=(stride,), offsets=(offset,))
    query = position // BLOCK
    kept = [
        block
        for block in range(max(0, query - local + 1))
        if block < sinks or (stride and block % stride == offset)
    ]
    wanted = {
        place
        for place in range(position + 1)
        if place // BLOCK in kept or place // BLOCK > query - local
    }
    masks = attended(blocks, torch.tensor([position + 1]), position + 64)
    assert set(np.flatnonzero(masks[0][0, 0] | masks[1][0, 0])) == wanted
    assert not (masks[0] & masks[1]).any()
    assert blocks.attended(0, position) == len(wanted)
    assert blocks.kept_before(0, blocks.window_start(query)) == len(kept)
    assert [blocks.kept_place(0, block) for block in kept] == list(range(len(kept)))
    assert len(kept) <= blocks.kept_places(position + 1)
    assert AttentionBlocks.from_json(blocks.to_json()) == blocks
