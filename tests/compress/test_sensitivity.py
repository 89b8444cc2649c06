"""What a matrix costs in a format, against the definition on a model that is changed by hand."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from tests.shapes import FAMILIES, RandomCheckpoint

from alula.compress.descent import solve
from alula.compress.sensitivity import Sensitivities, measure
from alula.frontend.float_reference import FloatReference
from alula.isa.formats import MATRIX_FORMATS

SHAPE = replace(FAMILIES["llama"], layers=2)
WINDOWS = np.random.default_rng(2).integers(0, 160, (2, 48)).tolist()
APART = np.random.default_rng(3).integers(0, 160, (3, 32)).tolist()
WANTED = {"layers.0.mlp.down": ["W2", "W4"], "layers.1.attn.q": ["W3"], "lm_head": ["W8"]}


def logits(reference: FloatReference) -> torch.Tensor:
    return torch.cat([reference.logits(ids) for ids in APART]).log_softmax(-1)


def test_a_divergence_is_that_of_the_changed_model(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its integers are chosen on one text, what they cost is measured on the other."""
    monkeypatch.setattr("alula.compress.calibration.BATCH", 1)
    found = measure(RandomCheckpoint(SHAPE), WINDOWS, APART, WANTED)
    dense = FloatReference(RandomCheckpoint(SHAPE))
    expected = logits(dense)
    tensors = dense.unit("layers.1")
    inputs = []
    for ids in WINDOWS:
        positions = torch.arange(len(ids))
        hidden = dense.layer(0, dense.embed(ids, positions), positions)
        inputs.append(dense._norm(hidden, tensors, "attn_norm"))
    x = torch.cat(inputs)
    weight = tensors["attn.q.weight"]
    codes = solve(weight, MATRIX_FORMATS["W3"], (x.T @ x).double(), 0)
    tensors["attn.q.weight"] = codes.weights().to(weight)
    changed = logits(dense)
    wanted = float((expected.exp() * (expected - changed)).sum(-1).mean())
    assert wanted > 0
    assert found["layers.1.attn.q"]["W3"] == pytest.approx(wanted, rel=2e-3)


def test_fewer_bits_cost_more_and_only_what_is_asked_for_is_measured() -> None:
    found = measure(RandomCheckpoint(SHAPE), WINDOWS, APART, WANTED)
    assert {name: [*values] for name, values in found.items()} == WANTED
    assert found["layers.0.mlp.down"]["W2"] > found["layers.0.mlp.down"]["W4"] > 0


def test_what_is_known_is_taken() -> None:
    """Kept after each matrix; a later start measures the rest and gives the same."""
    kept: list[Sensitivities] = []
    whole = measure(
        RandomCheckpoint(SHAPE),
        WINDOWS,
        APART,
        WANTED,
        keep=lambda found: kept.append({name: dict(values) for name, values in found.items()}),
    )
    assert [len(one) for one in kept] == [1, 2, 3]
    marked = {**kept[0], "layers.0.mlp.down": {"W2": -1.0, "W4": -2.0}}
    again = measure(RandomCheckpoint(SHAPE), WINDOWS, APART, WANTED, known=marked)
    assert again["layers.0.mlp.down"] == {"W2": -1.0, "W4": -2.0}
    assert again["lm_head"] == whole["lm_head"]


def test_nothing_is_read_where_all_is_known() -> None:
    known = {name: dict.fromkeys(titles, 1.0) for name, titles in WANTED.items()}
    assert measure(RandomCheckpoint(SHAPE), [[999]], [[999]], WANTED, known=known) == known
