"""Compressed models wherever a MODEL is taken: run, evaluated, compared with the dense one."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from tests.conftest import Alula

from alula.compress.saving import save
from alula.frontend import load as load_checkpoint
from alula.frontend.compressed import MANIFEST
from alula.ir import Precision
from alula.quant import QuantizedModel
from alula.quant.reference import IntegerReference
from alula.runtime import load, verification
from alula.runtime.loading import load_model
from alula.runtime.tokenizer_sources import open_tokenizer, tokenizer_copy

PRECISION = Precision("W3", "W4", {"layers.*.mlp.down": "W2"})
IDS = list(range(40, 80))


@pytest.fixture(scope="module", autouse=True)
def module_cache(tmp_path_factory: pytest.TempPathFactory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ALULA_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture
def compressed(small_model: Path, tmp_path: Path) -> Path:
    """The small model in few bits, with its tokenizer; its own copy of the dense one beside it."""
    dense = tmp_path / "dense"
    shutil.copytree(small_model, dense)
    checkpoint = load_checkpoint(dense)
    folder = tmp_path / "compressed"
    folder.mkdir()
    save(
        folder,
        checkpoint,
        QuantizedModel(checkpoint, PRECISION),
        name=str(dense),
        tokenizer=tokenizer_copy(dense),
    )
    return folder


def test_every_rung_gives_the_same_tokens(compressed: Path) -> None:
    answers = [
        load(str(compressed), "tiny", map=map).generate(IDS, max_new_tokens=5).token_ids
        for map in ("*=accel", "*=torch", "layers.1=torch,*=accel")
    ]
    assert answers[0] == answers[1] == answers[2]
    dense = load(str(compressed.parent / "dense"), "tiny", map="*=torch")
    assert dense.generate(IDS, max_new_tokens=5).token_ids != answers[0]


def test_logits_are_those_of_the_quantised_model(compressed: Path, small_model: Path) -> None:
    executor = load_model(str(compressed), "tiny").executor
    found = executor.forward("prefill", IDS, 0, rows=len(IDS), logits=True).logits
    model = QuantizedModel(load_checkpoint(small_model), PRECISION)
    np.testing.assert_array_equal(found, IntegerReference(model).logits(IDS).numpy())


def test_torch_can_run_the_float_view(compressed: Path) -> None:
    loaded = load_model(str(compressed), "tiny", map="*=torch", torch_mode="float")
    found = loaded.executor.forward("prefill", IDS, 0, rows=len(IDS), logits=True).logits
    exact = load_model(str(compressed), "tiny", map="*=torch").executor
    wanted = exact.forward("prefill", IDS, 0, rows=len(IDS), logits=True).logits
    assert found is not None
    assert wanted is not None
    error = np.linalg.norm(found - wanted) / np.linalg.norm(wanted)
    assert 0 < error < 0.1


def test_the_tokenizer_comes_along(compressed: Path) -> None:
    shutil.rmtree(compressed.parent / "dense")
    session = load(str(compressed), "tiny")
    assert session.tokenizer is not None
    assert session.tokenizer.decode(session.tokenizer.encode("Say it.")) == "Say it."
    assert session.tokenizer.has_chat


@pytest.mark.slow
def test_the_tokenizer_of_a_gguf_file_comes_along(smollm2_path: Path, tmp_path: Path) -> None:
    (files,) = tokenizer_copy(smollm2_path).items()
    (tmp_path / files[0]).write_bytes(files[1])
    one, other = (
        open_tokenizer(path, name)
        for path, name in ((smollm2_path, "0" * 64), (tmp_path / files[0], "1" * 64))
    )
    text = "A chain's end, 16 activations: naïve?"
    assert one.encode(text) == other.encode(text)
    assert one.settings == other.settings


def test_verify_compares_with_the_dense_model(compressed: Path) -> None:
    answer = load(str(compressed), "tiny").generate(IDS, max_new_tokens=6).token_ids
    found = verification.verify(load_checkpoint(compressed), IDS, answer)
    assert (found.equal, found.reference) == (6, "transformers")
    assert found.float_agreement < 6


def evaluated(alula: Alula, model: Path, *more: object):
    text = model.parent / "text.txt"
    text.write_text("The quick brown fox jumps over the lazy dog. " * 4)
    return alula("eval", model, "--text", text, "--tokens", 120, "--design", "tiny", *more)


def test_eval_compares_with_the_dense_model(compressed: Path, alula: Alula) -> None:
    found = evaluated(alula, compressed, "--json").json
    dense = evaluated(alula, compressed.parent / "dense", "--json").json
    assert found["reference"] == "transformers"
    assert found["reference_perplexity"] == dense["reference_perplexity"]
    assert found["perplexity"] != dense["perplexity"]
    assert found["ratio"] != pytest.approx(1, abs=0.05)


def test_another_reference_can_be_named(compressed: Path, alula: Alula) -> None:
    """Its own float view is the reference, whatever became of the dense model."""
    shutil.rmtree(compressed.parent / "dense")
    refused = evaluated(alula, compressed)
    assert refused.code == 2
    (line,) = refused.errors
    assert "the dense model must be the one that" in line
    assert "not one that cannot be read" in line


def test_a_dense_model_that_changed_is_no_reference(compressed: Path, alula: Alula) -> None:
    config = compressed.parent / "dense" / "config.json"
    config.write_text(config.read_text() + "\n")
    (line,) = evaluated(alula, compressed).errors
    assert line.endswith(f"not what is now at {compressed.parent / 'dense'}")
    elsewhere = evaluated(alula, compressed, "--reference", config.parent, "--json").json
    assert elsewhere["reference"] == "transformers"


def test_a_reference_needs_the_vocabulary(compressed: Path, alula: Alula, tmp_path: Path) -> None:
    other = "tests.runtime.test_compressed:other"
    (line,) = evaluated(alula, compressed, "--reference", other).errors
    assert line == "alula: the reference must have the model's 260 tokens, not 64"


def other() -> torch.nn.Module:
    from transformers import LlamaConfig, LlamaForCausalLM

    torch.manual_seed(1)
    return LlamaForCausalLM(
        LlamaConfig(
            vocab_size=64,
            hidden_size=32,
            intermediate_size=32,
            num_hidden_layers=1,
            num_attention_heads=1,
            max_position_embeddings=32,
        )
    ).eval()


def test_a_damaged_folder_is_one_line(compressed: Path, alula: Alula) -> None:
    place = compressed / MANIFEST
    manifest = json.loads(place.read_text())
    manifest["files"]["embed.safetensors"] = "0" * 64
    place.write_text(json.dumps(manifest))
    for command in (("run", compressed, "x"), ("compile", compressed, "--design", "tiny")):
        result = alula(*command)
        assert result.code == 2
        (line,) = result.errors
        assert line.startswith("alula: embed.safetensors must be as it was written, not changed")
