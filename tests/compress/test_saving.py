"""Compressed models as folders: what is read is what was written, bit for bit, or it is refused."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from tests.shapes import FAMILIES, UNEVEN, RandomCheckpoint

from alula.compress.saving import save
from alula.frontend import Checkpoint, FrontendError, load
from alula.frontend.compressed import MANIFEST, CompressedCheckpoint
from alula.frontend.float_reference import FloatReference
from alula.ir import Precision
from alula.quant import QuantizedModel, padded
from alula.quant.banded import matrix_title, parts_of
from alula.quant.reference import IntegerReference

IDS = [3, 5, 7, 11, 2]
MIXED = Precision("W3 8:16", "W8", {"layers.*.mlp.down": "W2", "layers.*.attn.o": "W4 2:4"})


def dense(family: str) -> Checkpoint:
    """A random model as a checkpoint."""
    random = RandomCheckpoint((FAMILIES | UNEVEN)[family])
    readers = {
        name: lambda name=name: random.tensor(name) for name in random.architecture.tensors()
    }
    return Checkpoint(random.architecture, readers, source="random", content_id="ab" * 32)


def saved(folder: Path, family: str = "smollm", precision: Precision = MIXED) -> QuantizedModel:
    folder.mkdir()
    model = QuantizedModel(dense(family), precision)
    save(folder, dense(family), model, name="random", recipe={"bits": 3}, figures={"ratio": 1.5})
    return model


BANDS = Precision(
    "W3 8:16",
    "W8",
    {"layers.*.mlp.down": "W2", "layers.1.attn.k": "W4 4:16 x 16 + W3 x 16 + W4 8:16 x 32"},
)


@pytest.mark.parametrize(
    ("family", "precision"),
    [*((family, MIXED) for family in (*FAMILIES, *UNEVEN)), ("smollm", BANDS), ("uneven", BANDS)],
)
def test_a_model_comes_back_bit_for_bit(family: str, precision: Precision, tmp_path: Path) -> None:
    model = saved(tmp_path / "model", family, precision)
    checkpoint = load(tmp_path / "model")
    assert isinstance(checkpoint, CompressedCheckpoint)
    again = QuantizedModel(checkpoint)
    for name in model.shapes:
        one, other = model.matrix(name), again.matrix(name)
        assert matrix_title(one) == matrix_title(other) == precision.title(name)
        for mine, theirs in zip(parts_of(one), parts_of(other), strict=True):
            for part in ("q", "c", "s", "m"):
                np.testing.assert_array_equal(getattr(mine, part), getattr(theirs, part))
    first, second = (IntegerReference(each).logits(IDS) for each in (model, again))
    assert torch.equal(first, second)


def test_the_manifest_says_where_it_is_from(tmp_path: Path) -> None:
    saved(tmp_path / "model")
    checkpoint = load(tmp_path / "model")
    assert isinstance(checkpoint, CompressedCheckpoint)
    assert checkpoint.dense.model_dump() == {"source": "random", "content_id": "ab" * 32}
    assert checkpoint.manifest.recipe == {"bits": 3}
    assert checkpoint.manifest.figures == {"ratio": 1.5}
    assert checkpoint.precision == MIXED


@pytest.mark.parametrize("family", ["smollm", "qwen3", "uneven", "uneven gpt2"])
def test_the_float_view_is_what_the_integers_stand_for(family: str, tmp_path: Path) -> None:
    """It is as near to the integer reference as 8-bit activations are, far from the dense model."""
    model = saved(tmp_path / "model", family)
    view = FloatReference(padded(load(tmp_path / "model"))).logits(IDS)
    ours, theirs = (
        IntegerReference(model).logits(IDS),
        FloatReference(dense(family)).logits(IDS),
    )
    assert (view - ours).norm() < 0.05 * ours.norm()
    assert (view - theirs).norm() > 0.2 * ours.norm()


def test_the_float_view_of_a_matrix_is_exact(tmp_path: Path) -> None:
    """The attention scale, a power of two here, is taken out again."""
    model = saved(tmp_path / "model", "multi-query", Precision("W4"))
    checkpoint = load(tmp_path / "model")
    scale = np.float64(model.architecture.attention_scale)
    found = checkpoint.tensor("layers.1.attn.q.weight")
    wanted = (model.matrix("layers.1.attn.q").dequantize() / scale).astype(np.float32)
    np.testing.assert_array_equal(found, wanted)
    head = model.matrix("lm_head").dequantize()
    np.testing.assert_array_equal(checkpoint.tensor("lm_head.weight"), head)


def test_equal_folders_have_equal_ids(tmp_path: Path) -> None:
    saved(tmp_path / "one")
    saved(tmp_path / "two")
    saved(tmp_path / "other", precision=Precision("W4"))
    ids = [load(tmp_path / name).content_id for name in ("one", "two", "other")]
    assert ids[0] == ids[1] != ids[2]


def edited(folder: Path, **changes: object) -> None:
    place = folder / MANIFEST
    place.write_text(json.dumps(json.loads(place.read_text()) | changes))


def flip(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)


DAMAGE = {
    "a changed file": (
        lambda f: flip(f / "layers.1.safetensors"),
        "layers.1.safetensors must be as it was written, not changed since",
    ),
    "a missing file": (
        lambda f: (f / "head.safetensors").unlink(),
        "head.safetensors must be readable, not No such file",
    ),
    "another version": (
        lambda f: edited(f, schema_version=2),
        r"schema_version must be 1, not 2 \(",
    ),
    "no manifest": (
        lambda f: (f / MANIFEST).write_text("[]"),
        "must be a JSON object, not list",
    ),
    "an unknown key": (
        lambda f: edited(f, surprise=1),
        "surprise must be as a manifest has it, not so: Extra inputs are not permitted",
    ),
    "a file beyond the folder": (
        lambda f: edited(f, files={"../x": "0" * 64}),
        "files must be of the folder, not '../x'",
    ),
    "too many layers": (
        lambda f: edited(f, architecture=manifest_of(f)["architecture"] | {"layers": 10**9}),
        "architecture.layers must be at most the number of files, not 1000000000",
    ),
    "no shape": (
        lambda f: edited(f, architecture={"layers": 1}),
        "architecture must be a model's shape, not so",
    ),
    "a larger vocabulary": (
        lambda f: edited(f, architecture=manifest_of(f)["architecture"] | {"vocab_size": 10**12}),
        r"embed.weight must be BF16 \(1000000000000, 64\), not BF16 \(160, 64\)",
    ),
    "an unknown format": (
        lambda f: edited(f, formats=dict.fromkeys(manifest_of(f)["formats"], "W5")),
        "formats: head must be one of W4, .*, not W5",
    ),
    "another format": (
        lambda f: edited(f, formats=dict.fromkeys(manifest_of(f)["formats"], "W4")),
        r"layers.0.attn.k.index must be absent, not U8 \(64, 16\)",
    ),
    "bands of other rows": (
        lambda f: edited(
            f, formats=manifest_of(f)["formats"] | {"layers.0.attn.k": "W4 x 32 + W3 x 64"}
        ),
        r"formats: bands must be of 64 rows together, not of 96 \(W4 x 32 [+] W3 x 64\) \(",
    ),
    "a matrix without a format": (
        lambda f: edited(f, formats={"lm_head": "W8"}),
        "formats must name each matrix, and layers.0.attn.k differs",
    ),
    "a unit without a file": (
        lambda f: edited(f, files=dict(list(manifest_of(f)["files"].items())[:-1])),
        "files must name head.safetensors, not leave it out",
    ),
}


def manifest_of(folder: Path) -> dict:
    return json.loads((folder / MANIFEST).read_text())


@pytest.mark.parametrize("kind", DAMAGE)
def test_what_is_damaged_is_refused_in_one_line(kind: str, tmp_path: Path) -> None:
    damage, message = DAMAGE[kind]
    saved(tmp_path / "model")
    damage(tmp_path / "model")
    with pytest.raises(FrontendError, match=message) as caught:
        load(tmp_path / "model")
    assert "\n" not in str(caught.value)


def test_an_unknown_matrix_is_told(tmp_path: Path) -> None:
    saved(tmp_path / "model")
    checkpoint = load(tmp_path / "model")
    assert isinstance(checkpoint, CompressedCheckpoint)
    with pytest.raises(KeyError, match="has no matrix"):
        checkpoint.matrix("layers.9.attn.q")
