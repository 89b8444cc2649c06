"""Keys and values in a device's memory: rows that are written are read back, all others stay."""

from collections.abc import Mapping
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from alula.design import Design, load_design
from alula.ir import Architecture, AttentionBlocks
from alula.ir.attention_blocks import BLOCK
from alula.isa import Image, Program
from alula.mapper import KvLayout
from alula.runtime.kv_memory import KvMemory
from alula.runtime.worker import KvRows

BASE = 5


class Memory:
    """A device that is nothing but memory."""

    name = "memory"
    counters: Mapping[str, int] = {}

    def __init__(self, beats: int, beat_bytes: int) -> None:
        self.data = np.zeros((beats, beat_bytes), np.uint8)

    def load(self, image: Image) -> None: ...
    def run(self, program: Program, inputs: Mapping[str, int]) -> None: ...

    def write(self, beat: int, data: np.ndarray) -> None:
        assert beat + len(data) <= len(self.data)
        self.data[beat : beat + len(data)] = data

    def read(self, beat: int, count: int) -> np.ndarray:
        assert beat + count <= len(self.data)
        return self.data[beat : beat + count].copy()


def memory_of(
    design: Design, layout: KvLayout, blocks: AttentionBlocks | None = None
) -> tuple[Memory, KvMemory]:
    device = Memory(BASE + layout.beats, design.bytes_per_cycle)
    return device, KvMemory(layout, design, device, BASE, blocks)


def shape(head_dim: int) -> Architecture:
    return Architecture(
        family="test",
        vocab_size=64,
        hidden_size=64,
        layers=2,
        heads=4,
        kv_heads=2,
        head_dim=head_dim,
        intermediate_size=64,
        max_context=512,
        norm="rmsnorm",
        norm_eps=1e-5,
        activation="silu",
        gated_mlp=True,
        position="learned",
    )


def random_rows(seed: int, count: int, head_dim: int) -> KvRows:
    random = np.random.default_rng(seed)
    k, v = random.integers(-127, 128, (2, count, 2, head_dim), dtype=np.int8)
    bits = random.integers(0x3000, 0x4000, (2, count, 2), dtype=np.uint32) << np.uint32(16)
    k_scale, v_scale = bits.view(np.float32)
    return KvRows(k, k_scale, v, v_scale)


def same(one: KvRows, two: KvRows) -> bool:
    return all(np.array_equal(getattr(one, name), getattr(two, name)) for name in vars(one))


@pytest.mark.parametrize("name", ["tiny", "kv260", "u280"])
@settings(max_examples=15)
@given(data=st.data())
def test_rows_come_back(name: str, data: st.DataObject) -> None:
    design = load_design(name)
    head_dim = data.draw(st.sampled_from([32, 64, 96]))
    context = data.draw(st.sampled_from([32, 96, 256]))
    layout = KvLayout.of(shape(head_dim), design, context)
    _, kv = memory_of(design, layout)
    everything = random_rows(0, layout.context, head_dim)
    kv.write(1, 0, everything)
    start = data.draw(st.integers(0, context - 1))
    rows = random_rows(1, data.draw(st.integers(1, context - start)), head_dim)
    kv.write(1, start, rows)
    stop = start + len(rows)
    assert same(kv.read(1, start, stop), rows)
    if start:
        before = KvRows(*(getattr(everything, field)[:start] for field in vars(everything)))
        assert same(kv.read(1, 0, start), before)
    if stop < context:
        after = KvRows(*(getattr(everything, field)[stop:context] for field in vars(everything)))
        assert same(kv.read(1, stop, context), after)


def test_layers_and_heads_do_not_meet() -> None:
    design = load_design("tiny")
    layout = KvLayout.of(shape(32), design, 64)
    device, kv = memory_of(design, layout)
    kv.write(0, 0, random_rows(2, 64, 32))
    used = device.data.any(axis=1).nonzero()[0]
    assert used.min() >= BASE
    assert used.max() < BASE + layout.layer_stride
    kv.write(1, 0, random_rows(3, 64, 32))
    assert same(kv.read(0, 0, 64), random_rows(2, 64, 32))


@pytest.mark.parametrize("name", ["tiny", "kv260"])
@settings(max_examples=15)
@given(data=st.data())
def test_what_later_tokens_attend_to_comes_back(name: str, data: st.DataObject) -> None:
    """Written in pieces: kept blocks and those of the window are as written, all others zeros."""
    design = load_design(name)
    local, sinks = data.draw(st.integers(1, 3)), data.draw(st.integers(1, 2))
    strides = tuple(data.draw(st.sampled_from([0, 3, 4])) for _ in range(2))
    offsets = tuple(data.draw(st.integers(sinks, one - 1)) if one else 0 for one in strides)
    blocks = AttentionBlocks(local=local, sinks=sinks, strides=strides, offsets=offsets)
    stop = data.draw(st.integers(1, 640))
    layout = KvLayout.of(replace(shape(32), max_context=640, blocks=blocks), design, 640, 16)
    _, kv = memory_of(design, layout, blocks)
    rows = random_rows(4, stop, 32)
    cuts = sorted({0, stop, *data.draw(st.lists(st.integers(0, stop), max_size=3))})
    for first, end in pairwise(cuts):
        kv.write(1, first, KvRows(*(getattr(rows, part)[first:end] for part in vars(rows))))
    found = kv.read(1, 0, stop)
    last = stop - 1
    for head in range(2):
        for block in range(-(-stop // BLOCK)):
            part = slice(BLOCK * block, BLOCK * (block + 1)), head
            on_stride = strides[head] and block % strides[head] == offsets[head]
            lasting = block > last // BLOCK - local or block < sinks or on_stride
            for field in vars(rows):
                one, other = getattr(found, field)[part], getattr(rows, field)[part]
                assert np.array_equal(one, other) if lasting else not one.any()
