"""Heads padded to whole groups: another shape, the same model."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from tests.shapes import FAMILIES, UNEVEN, RandomCheckpoint, sized

from alula.frontend.float_reference import FloatReference
from alula.ir.padding import head_places, pad_heads
from alula.quant import QuantizedModel, padded
from alula.quant.reference import IntegerReference

IDS = [int(token) for token in np.random.default_rng(11).integers(0, 160, 40)]


@pytest.mark.parametrize("family", UNEVEN)
def test_the_padded_model_is_the_same_model(family: str) -> None:
    checkpoint = RandomCheckpoint(UNEVEN[family])
    found = FloatReference(padded(checkpoint)).logits(IDS)
    expected = FloatReference(checkpoint).logits(IDS)
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("family", UNEVEN)
def test_integers_are_as_near_as_those_of_whole_groups(family: str) -> None:
    """The same layers with heads of 32, measured with heads of 20 to 36: no error is added."""

    def error(checkpoint: RandomCheckpoint) -> float:
        exact = FloatReference(checkpoint).logits(IDS)
        found = IntegerReference(QuantizedModel(checkpoint)).logits(IDS)
        return float((found - exact).norm() / exact.norm())

    shape = UNEVEN[family]
    whole = sized(shape, 64, 32, 96)
    assert error(RandomCheckpoint(shape)) < 1.6 * error(RandomCheckpoint(whole))


def test_whole_heads_are_left_alone() -> None:
    checkpoint = RandomCheckpoint(FAMILIES["llama"])
    assert padded(checkpoint) is checkpoint
    assert pad_heads(checkpoint.architecture) is checkpoint.architecture


def test_shape_of_padded_heads() -> None:
    shape = pad_heads(UNEVEN["uneven qwen3"])
    assert (shape.head_dim, shape.head_padding, shape.used_head_dim) == (64, 28, 36)
    assert shape.attention_scale == 36**-0.5
    assert shape.rope_inverse_frequencies is not None
    assert shape.rope_inverse_frequencies[18:] == (0.0,) * 14
    assert pad_heads(shape) is shape
    assert (shape.hidden_size, shape.intermediate_size) == (50, 33)


@given(st.integers(1, 480))
def test_pairs_of_rope_stay_pairs(used: int) -> None:
    whole = -(-used // 32) * 32
    places = head_places(used, whole)
    assert len(set(places)) == used
    assert max(places) < whole
    if used % 2 == 0:
        halves = zip(places[: used // 2], places[used // 2 :], strict=True)
        assert all(second - first == whole // 2 for first, second in halves)


def test_tensors_that_have_no_heads_are_passed_on() -> None:
    checkpoint = RandomCheckpoint(replace(UNEVEN["uneven qwen3"], layers=1))
    view = padded(checkpoint)
    expected = view.architecture.tensors()
    for name, shape in checkpoint.architecture.tensors().items():
        found, original = view.tensor(name), checkpoint.tensor(name)
        assert found.shape == expected[name]
        assert found.shape == shape or found.size > original.size
        assert np.count_nonzero(found) == np.count_nonzero(original)
