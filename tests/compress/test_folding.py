"""Rotations and scales leave what a model computes as it is, and make its weights round better."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from tests.shapes import FAMILIES, RandomCheckpoint

from alula.compress.folding import input_sizes, ordered, rotated, scaled
from alula.frontend import Checkpoint
from alula.frontend.float_reference import FloatReference
from alula.ir import Architecture
from alula.quant import quantize

WINDOWS = np.random.default_rng(2).integers(0, 160, (2, 24)).tolist()
LOUD, GAIN = 7, 30
"""A channel of the residual stream in which some tensor is so much larger."""


def model(shape: Architecture, loud: str | None = None, quiet: str | None = None) -> Checkpoint:
    source = RandomCheckpoint(shape)

    def tensor(name: str) -> np.ndarray:
        values = source.tensor(name).copy()
        values[..., LOUD] *= GAIN if name == loud else 1 / GAIN if name == quiet else 1
        return values

    readers = {name: (lambda name=name: tensor(name)) for name in shape.tensors()}
    return Checkpoint(shape, readers, source=Path("random"), content_id="0" * 64)


def logits(checkpoint: Checkpoint) -> torch.Tensor:
    reference = FloatReference(checkpoint)
    return torch.cat([reference.logits(ids) for ids in WINDOWS])


def test_a_rotation_changes_no_logit() -> None:
    for name, family in FAMILIES.items():
        checkpoint = model(replace(family, layers=2))
        if family.norm != "rmsnorm" or family.post_norms:
            with pytest.raises(ValueError, match=r"^rotate must be off for a model that has "):
                rotated(checkpoint)
            continue
        turned = rotated(checkpoint)
        torch.testing.assert_close(logits(turned), logits(checkpoint), rtol=1e-4, atol=1e-4)
        assert turned.content_id != checkpoint.content_id, name
        assert (turned.tensor("layers.1.mlp_norm.weight") == 1).all()


@pytest.mark.parametrize("family", FAMILIES)
def test_an_order_changes_no_logit(family: str) -> None:
    checkpoint = model(replace(FAMILIES[family], layers=2))
    sizes = input_sizes(checkpoint, WINDOWS)
    changed = ordered(checkpoint, sizes)
    torch.testing.assert_close(logits(changed), logits(checkpoint), rtol=1e-4, atol=1e-4)
    assert changed.content_id != checkpoint.content_id
    after = input_sizes(changed, WINDOWS)
    for layer in range(2):
        name = f"layers.{layer}.mlp.down"
        given = [
            np.square(one.tensor(f"{name}.weight") * size[name], dtype=np.float64).sum(0)
            for one, size in ((changed, after), (checkpoint, sizes))
        ]
        assert (np.diff(given[0]) <= 1e-4 * given[0][:-1]).all()
        assert (np.diff(given[1]) > 0).any()


@pytest.mark.parametrize("family", FAMILIES)
def test_scales_change_no_logit(family: str) -> None:
    checkpoint = model(replace(FAMILIES[family], layers=2))
    changed = scaled(checkpoint, input_sizes(checkpoint, WINDOWS), 0.5)
    torch.testing.assert_close(logits(changed), logits(checkpoint), rtol=1e-4, atol=1e-4)
    assert changed.content_id != checkpoint.content_id
    other = scaled(checkpoint, input_sizes(checkpoint, WINDOWS[:1]), 0.5)
    assert other.content_id != changed.content_id


def test_scales_make_inputs_alike() -> None:
    checkpoint = model(replace(FAMILIES["llama"], layers=2), loud="embed.weight")
    sizes = input_sizes(checkpoint, WINDOWS)
    assert sizes["layers.0.attn_norm"].argmax() == LOUD
    after = input_sizes(scaled(checkpoint, sizes, 1.0), WINDOWS)
    for name, size in after.items():
        assert size == pytest.approx(np.full(size.shape, size.mean()), rel=1e-3), name


def error(checkpoint: Checkpoint) -> float:
    """Of the first layer's queries, their weights rounded to 3 bits."""
    weight, reference = checkpoint.tensor("layers.0.attn.q.weight"), FloatReference(checkpoint)
    hidden = torch.cat([reference.embed(ids, range(len(ids))) for ids in WINDOWS])
    x = reference._norm(hidden, reference.unit("layers.0"), "attn_norm").numpy()
    exact = x @ weight.T
    found = x @ quantize(weight, "W3").dequantize().T
    return float(np.square(found - exact).sum() / np.square(exact).sum())


def test_large_inputs_lose_less_with_scales() -> None:
    checkpoint = model(replace(FAMILIES["llama"], layers=1), loud="embed.weight")
    changed = scaled(checkpoint, input_sizes(checkpoint, WINDOWS), 0.5)
    assert error(changed) < 0.7 * error(checkpoint)


def test_large_weights_of_small_inputs_are_spread_by_a_rotation() -> None:
    checkpoint = model(
        replace(FAMILIES["llama"], layers=1),
        loud="layers.0.attn.q.weight",
        quiet="layers.0.attn_norm.weight",
    )
    assert error(rotated(checkpoint)) < 0.7 * error(checkpoint)
