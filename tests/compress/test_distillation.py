"""Codes that are trained: nearer to the dense model, resumable, those of the formats."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from tests.compress.test_model import texts
from tests.shapes import FAMILIES, RandomCheckpoint

from alula.compress.descent import round_to_nearest
from alula.compress.distillation import Distillation, distil
from alula.compress.grid import Codes
from alula.compress.model import CompressedModel
from alula.compress.recovery import recover
from alula.frontend.float_reference import FloatReference
from alula.ir import Precision
from alula.ir.precision import HEAD
from alula.isa.formats import MATRIX_FORMATS
from alula.quant import QuantizedModel
from alula.quant.banded import matrix_title, parts_of
from alula.quant.padded import padded

FORMATS = {"attn.q": "W2", "attn.o": "W8", "mlp.up": "W4 8:16", "mlp.down": "W3"}


def started(family: str) -> tuple[RandomCheckpoint, dict[str, Codes]]:
    """A model and what its matrices round to."""
    checkpoint = RandomCheckpoint(FAMILIES[family])
    source = padded(checkpoint)
    shape = source.architecture
    codes = {}
    for layer in range(shape.layers):
        for name in shape.projections:
            unit = f"layers.{layer}.{name}"
            folded = name == "attn.q" and not shape.qk_norm
            weight = torch.from_numpy(source.tensor(f"{unit}.weight"))
            weight = weight * (shape.attention_scale if folded else 1.0)
            codes[unit] = round_to_nearest(weight, MATRIX_FORMATS[FORMATS.get(name, "W3")])
    return checkpoint, codes


def windows(checkpoint: RandomCheckpoint) -> torch.Tensor:
    return texts(checkpoint.architecture.vocab_size, 5, 32)[:, :16]


@pytest.mark.parametrize("family", ["smollm", "qwen3", "gpt2"])
def test_they_say_what_the_dense_model_says(family: str) -> None:
    checkpoint, codes = started(family)
    settings = Distillation(steps=60, rate=1e-2, select=5)
    found = distil(checkpoint, codes, windows(checkpoint), settings)
    first, last = (sum(part) / 8 for part in (found.losses[:8], found.losses[-8:]))
    assert last < 0.8 * first
    for name, one in found.codes.items():
        matrix = one.matrix()
        assert matrix.format == codes[name].format.name
    assert any(
        (gain != torch.from_numpy(checkpoint.tensor(name))).any()
        for name, gain in found.gains.items()
    )


def test_bands_of_a_matrix_start_as_the_matrix() -> None:
    """Queries have the attention scale folded in, which the model does not."""
    checkpoint, codes = started("smollm")
    split: dict[str, Codes] = {}
    for name, one in codes.items():
        if not name.endswith("attn.q"):
            split[name] = one
            continue
        for number, rows in enumerate((slice(0, 48), slice(48, None))):
            parts = (one.levels[rows], one.c[rows], one.s[rows], one.m[rows])
            split[f"{name}@{number}"] = Codes(one.format, *parts)
    settings = Distillation(steps=1)
    first, second = (
        distil(checkpoint, found, windows(checkpoint), settings).losses for found in (codes, split)
    )
    assert first == pytest.approx(second, rel=1e-6)


def test_bands_are_trained() -> None:
    """Each in its format, which stays."""
    checkpoint = RandomCheckpoint(FAMILIES["smollm"])
    title = "W3 8:16 x 32 + W2 x 64"
    precision = Precision(
        matrices={"layers.*.mlp.up": title, "layers.*.attn.q": "W3 x 64 + W2 x 64"}
    )
    plain = QuantizedModel(checkpoint, precision)
    model = CompressedModel(
        checkpoint, precision, {name: plain.matrix(name) for name in plain.shapes}
    )
    settings = Distillation(steps=6, rate=2e-2, select=2)
    found = recover(checkpoint, model, windows(checkpoint), settings)
    for name in plain.shapes:
        before, after = model.matrix(name), found.matrix(name)
        assert matrix_title(after) == matrix_title(before) == precision.title(name)
        for one, other in zip(parts_of(before), parts_of(after), strict=True):
            assert (one.integers() != other.integers()).any() == (name != HEAD)
            np.testing.assert_array_equal(one.c, other.c)


@pytest.mark.parametrize("task", [0.0, 0.25, 1.0])
def test_the_loss_is_that_of_its_parts(task: float) -> None:
    """KL to the dense model at every token, cross-entropy at those that have a next one."""
    checkpoint, codes = started("smollm")
    ids = windows(checkpoint)[:3]
    settings = Distillation(steps=1, batch=3, task_loss=task)
    (found,) = distil(checkpoint, codes, ids, settings).losses
    dense, ours = FloatReference(padded(checkpoint)), FloatReference(padded(checkpoint))
    for name, one in codes.items():
        unit, kind = name.rsplit(".", 2)[0], name.split(".", 2)[2]
        folded = ours.architecture.attention_scale if kind == "attn.q" else 1.0
        ours.unit(unit)[f"{kind}.weight"] = one.weights() / folded
    expected, said = (
        torch.stack([model.logits(one.tolist()) for one in ids]).log_softmax(-1)
        for model in (dense, ours)
    )
    apart = (expected.exp() * (expected - said)).sum(-1).mean()
    surprise = -said[:, :-1].gather(2, ids[:, 1:, None]).mean()
    assert abs(apart - surprise) > 0.1
    assert found == pytest.approx(float((1 - task) * apart + task * surprise), rel=1e-4)


def test_task_loss_learns_the_text() -> None:
    """Where the dense model knows nothing of it: divergence alone learns none of it."""
    checkpoint, codes = started("smollm")
    ids = windows(checkpoint)[:8]
    surprise = []
    for task in (0.0, 0.9):
        settings = Distillation(steps=40, rate=2e-2, task_loss=task)
        found = distil(checkpoint, codes, ids, settings)
        (last,) = distil(checkpoint, found.codes, ids, Distillation(steps=1, task_loss=1.0)).losses
        surprise.append(last)
    assert surprise[1] < surprise[0] - 0.3, surprise


def test_it_goes_on_from_where_it_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("alula.compress.distillation._SAVE_SECONDS", 0)
    checkpoint, codes = started("smollm")
    settings = Distillation(steps=10, select=3)
    ids, keep = windows(checkpoint), tmp_path / "training"
    whole = distil(checkpoint, codes, ids, settings)

    def stop(stage: str, done: int, total: int) -> None:
        if done == 6:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        distil(checkpoint, codes, ids, settings, keep=keep, progress=stop)
    assert keep.exists()
    with pytest.raises(ValueError, match=r"training must be of this training, not of another"):
        distil(checkpoint, codes, ids, Distillation(steps=11), keep=keep)
    with pytest.raises(ValueError, match=r"training must be of this training, not of another"):
        distil(checkpoint, codes, ids, replace(settings, task_loss=0.1), keep=keep)
    resumed = distil(checkpoint, codes, ids, settings, keep=keep)
    assert resumed.losses == whole.losses
    for name, one in whole.codes.items():
        torch.testing.assert_close(resumed.codes[name].levels, one.levels, rtol=0, atol=0)
    assert not keep.exists()


def test_a_text_that_is_too_short() -> None:
    checkpoint, codes = started("smollm")
    with pytest.raises(ValueError, match="text must have 8 windows or more, not 3"):
        distil(checkpoint, codes, windows(checkpoint)[:3], Distillation(steps=1))
