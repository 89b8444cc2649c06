"""Where each beat of a matrix lies, against a walk through the stream as the contract tells it."""

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from alula.isa.formats import FORMATS, METAS_PER_BEAT, SCALES_PER_BEAT

EACH = pytest.mark.parametrize("item", FORMATS.values(), ids=FORMATS)
VALUE_BEATS = {"W4": 2, "W8": 4, "V8": 4}
SCALES = {"W4", "W8"}
METAS = {"W4"}


def walk(name: str, blocks: int, groups: int):
    """The stream, beat by beat: its kind, the row block and the group."""
    for block in range(blocks):
        if name in SCALES and block % 4 == 0:
            yield "scales", block, 0
        for group in range(groups):
            if name in METAS and (block * groups + group) % 4 == 0:
                yield "metas", block, group
            yield from [("values", block, group)] * VALUE_BEATS[name]


def check(item, blocks: int, groups: int):
    stream = list(walk(item.name, blocks, groups))
    first = {}
    for beat, part in enumerate(stream):
        first.setdefault(part, beat)
    assert item.beats(blocks, groups) == len(stream)
    for block in range(blocks):
        if item.scales:
            expected = first["scales", block - block % 4, 0]
            assert item.scale_beat(block, groups) == expected
        for group in range(groups):
            assert item.value_beat(block, group, groups) == first["values", block, group]
            if item.metas:
                index = block * groups + group
                index -= index % 4
                expected = first["metas", index // groups, index % groups]
                assert item.meta_beat(block, group, groups) == expected


@EACH
def test_every_small_matrix(item):
    for blocks in range(1, 14):
        for groups in range(1, 14):
            check(item, blocks, groups)


@given(st.sampled_from(list(FORMATS.values())), st.integers(1, 60), st.integers(1, 60))
def test_any_matrix(item, blocks, groups):
    check(item, blocks, groups)


@EACH
def test_an_empty_matrix_has_no_beats(item):
    assert item.beats(0, 5) == item.beats(5, 0) - (2 if item.scales else 0) == 0


@EACH
def test_beats_as_the_contract_states_them(item):
    for blocks, groups in ((1, 1), (4, 4), (5, 3), (72, 18), (6144, 18)):
        product = blocks * groups
        stated = {
            "W4": -(-blocks // 4) - (-product // 4) + 2 * product,
            "W8": -(-blocks // 4) + 4 * product,
            "V8": 4 * product,
        }
        assert item.beats(blocks, groups) == stated[item.name]


def test_w4_takes_four_and_a_half_bits_a_weight_at_the_limit():
    beats = FORMATS["W4"].beats(4096, 512)
    weights_of_a_beat = 8 * 16
    assert beats * 64 * 8 / (4096 * 512 * 2 * weights_of_a_beat) == pytest.approx(4.5, abs=0.01)


@EACH
def test_the_flags_are_those_of_the_stream(item):
    kinds = Counter(kind for kind, _, _ in walk(item.name, 4, 4))
    assert item.scales == ("scales" in kinds)
    assert item.metas == ("metas" in kinds)
    assert item.beats_per_group == VALUE_BEATS[item.name] == item.bits * 32 // 64
    assert (SCALES_PER_BEAT, METAS_PER_BEAT) == (4, 4)
