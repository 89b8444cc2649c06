"""A model whose sizes are not whole groups of 32, from its folder to its tokens."""

from pathlib import Path

import pytest
import torch

from alula.frontend import load as load_checkpoint
from alula.frontend.float_reference import FloatReference
from alula.runtime import load
from alula.runtime.evaluation import evaluate
from alula.runtime.loading import load_model

PROMPT = [5, 17, 90, 3, 41, 8, 77, 20, 11, 64]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A random Qwen3: hidden 72, heads of 20, intermediate 100."""
    from transformers import Qwen3Config, Qwen3ForCausalLM

    torch.manual_seed(3)
    config = Qwen3Config(
        vocab_size=100,
        hidden_size=72,
        intermediate_size=100,
        num_hidden_layers=2,
        num_attention_heads=6,
        num_key_value_heads=2,
        head_dim=20,
        max_position_embeddings=64,
    )
    model = Qwen3ForCausalLM(config)
    for parameter in model.parameters():
        if parameter.dim() > 1:
            torch.nn.init.normal_(parameter, std=0.2)
    place = tmp_path_factory.mktemp("uneven") / "model"
    model.save_pretrained(place)
    return place


def test_tokens_are_the_same_wherever_units_run(folder: Path, cache: Path) -> None:
    found = {
        split: load(folder, "tiny", map=split).generate(PROMPT, max_new_tokens=6).token_ids
        for split in ("*=accel", "*=torch", "layers.0=torch,*=accel", "prefill:*=torch,*=accel")
    }
    assert len({tuple(tokens) for tokens in found.values()}) == 1, found


def test_keys_and_values_cross_from_float(folder: Path, cache: Path) -> None:
    """Prefill in float, decode on the accelerator: close to float alone, so heads match."""
    float_map = "prefill:*=torch-float,*=accel"
    mixed = load_model(folder, "tiny", map=float_map).executor
    exact = FloatReference(load_checkpoint(folder))
    mixed.forward("prefill", PROMPT, 0)
    logits = mixed.forward("decode", [33], len(PROMPT), logits=True).logits
    assert logits is not None
    expected = exact.logits([*PROMPT, 33])[-1]
    error = (torch.from_numpy(logits[0]) - expected).norm() / expected.norm()
    assert error < 0.3


def test_perplexity_is_that_of_the_unpadded_model(folder: Path, cache: Path) -> None:
    loaded = load_model(folder, "tiny")
    text = [int(token) for token in torch.randint(0, 100, (128,), generator=torch.manual_seed(1))]
    found = evaluate(loaded.executor, FloatReference(loaded.checkpoint), text, 64)
    assert 0.8 < found.ratio < 1.25
