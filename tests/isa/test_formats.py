"""Where each beat of a matrix lies, against a walk through the stream as the contract tells it."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from alula.isa.formats import (
    DENSE,
    FORMATS,
    PATTERNS,
    QUARTERS,
    SCALES_PER_BEAT,
    WEIGHT_FORMATS,
    BeatKind,
)

VALUE, META, SCALE, INDEX = BeatKind
EACH = pytest.mark.parametrize("item", WEIGHT_FORMATS.values(), ids=lambda item: item.title)
BITS = {"W4": 4, "W8": 8, "V8": 8, "W3": 3, "W2": 2}
SCALES = {"W4", "W8", "W3", "W2"}
METAS = {"W4", "W3", "W2"}
ROWS_OF_A_CHAIN = {"dense": 1, "2:4": 2, "8:16": 2, "4:16": 4, "2:16": 8}
INDEX_BITS = {"dense": 0, "2:4": 2, "8:16": 4, "4:16": 4, "2:16": 4}


def walk(name: str, pattern: str, blocks: int, groups: int):
    """The stream: for each beat its kind, and the row block and group that it is first needed for.

    Counted in bits of a chain, of which a beat has 64.
    """
    parts = ROWS_OF_A_CHAIN[pattern]
    left = dict.fromkeys(BeatKind, 0)

    def need(kind, bits, block, group):
        while left[kind] < bits:
            left[kind] += 64
            yield kind, block, group
        left[kind] -= bits

    for block in range(blocks):
        for group in range(groups):
            if name in SCALES and group == 0:
                yield from need(SCALE, 16 * parts, block, group)
            if name in METAS:
                # A scale and a min; with a pattern a scale for each of the chain's rows.
                yield from need(META, 16 if parts == 1 else 8 * parts, block, group)
            yield from need(VALUE, 32 * BITS[name], block, group)
            yield from need(INDEX, 32 * INDEX_BITS[pattern], block, group)


def check(item, blocks: int, groups: int):
    stream = list(walk(item.name, item.pattern.name, blocks, groups))
    assert item.beats(blocks, groups) == len(stream)
    for kind in BeatKind:
        beats = [beat for beat, (found, _, _) in enumerate(stream) if found is kind]
        assert item.count(kind, blocks, groups) == len(beats)
        if beats:
            assert item.place(kind, np.arange(len(beats)), groups).tolist() == beats
            assert [item.place(kind, number, groups) for number in range(len(beats))] == beats
            bits = 16 * item.quarters(kind)
            for block in range(blocks):
                for group in range(groups):
                    run = block if kind is SCALE else block * groups + group
                    expected = beats[run * bits // 64], run * bits % 64 // 16
                    assert item.start(kind, block, group, groups) == expected


@EACH
def test_every_small_matrix(item):
    for blocks in range(1, 10):
        for groups in range(1, 8):
            check(item, blocks, groups)


@given(
    st.sampled_from(list(WEIGHT_FORMATS.values())), st.integers(1, 24), st.integers(1, 24)
)  # fmt: skip
def test_any_matrix(item, blocks, groups):
    check(item, blocks, groups)


@EACH
def test_an_empty_matrix_has_no_beats(item):
    assert item.beats(0, 5) == 0


@EACH
def test_beats_as_the_contract_states_them(item):
    parts, bits = ROWS_OF_A_CHAIN[item.pattern.name], BITS[item.name]
    for blocks, groups in ((1, 1), (4, 4), (5, 3), (72, 18), (6144, 18)):
        product = blocks * groups
        beats = -(-bits * product // 2) + INDEX_BITS[item.pattern.name] * product // 2
        if item.name in SCALES:
            beats -= -blocks * parts // 4
        if item.name in METAS:
            beats -= -product * (1 if item.pattern is DENSE else parts // 2) // 4
        assert item.beats(blocks, groups) == beats


@pytest.mark.parametrize(
    ("name", "pattern", "bits"),
    [
        ("W4", "dense", 4.5),
        ("W3", "dense", 3.5),
        ("W2", "dense", 2.5),
        ("W8", "dense", 8),
        ("W4", "2:4", 3.25),
        ("W4", "8:16", 4.25),
        ("W4", "4:16", 2.25),
        ("W4", "2:16", 1.25),
        ("W8", "2:4", 5),
    ],
)
def test_bits_of_a_weight_at_the_limit(name, pattern, bits):
    item = WEIGHT_FORMATS[name, pattern]
    weights_of_a_beat = 8 * 16 * item.pattern.segments
    stored = item.beats(4096, 512) * 64 * 8 / (4096 * 512 * 2 * weights_of_a_beat)
    assert stored == pytest.approx(bits, abs=0.01)


@EACH
def test_the_flags_are_those_of_the_stream(item):
    assert item.scales == (item.name in SCALES)
    assert item.metas == (item.name in METAS)
    assert item.excess == (2 ** (item.bits - 1) if item.metas and item.pattern is DENSE else 0)
    assert item.pattern.segments == ROWS_OF_A_CHAIN[item.pattern.name]
    assert (QUARTERS, SCALES_PER_BEAT) == (4, 4)


def test_every_format_but_v8_takes_every_pattern():
    expected = {(name, nm) for name in FORMATS for nm in PATTERNS if name != "V8" or nm == "dense"}
    assert set(WEIGHT_FORMATS) == expected
