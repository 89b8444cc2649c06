"""config.json read as transformers reads it, where file and configuration disagree included."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.numpy import load_file, save_file
from transformers.utils import logging

from alula.frontend import Checkpoint, FrontendError, UnsupportedModel, load
from alula.frontend.float_reference import FloatReference
from alula.frontend.pretrained import open_pretrained
from alula.frontend.rounding import difference

IDS = list(range(3, 90, 3))


def edit(folder: Path, tensors: dict | None = None, without: tuple = (), **changes: object) -> Path:
    """Changes keys of config.json (null removes one) and tensors."""
    path = folder / "config.json"
    values = {**json.loads(path.read_text()), **changes}
    values = {key: value for key, value in values.items() if key not in without}
    path.write_text(json.dumps(values))
    if tensors:
        stored = {**load_file(folder / "model.safetensors"), **tensors}
        kept = {name: array for name, array in stored.items() if array is not None}
        save_file(kept, folder / "model.safetensors", {"format": "pt"})
    return folder


def assert_as_transformers(folder: Path) -> Checkpoint:
    """The folder's logits are those of the model that transformers loads from it."""
    checkpoint = load(folder)
    theirs = open_pretrained(folder).logits(IDS)
    assert difference(FloatReference(checkpoint).logits(IDS), theirs).max() < 1e-5
    return checkpoint


def test_rope_scaling_beside_rope_parameters(folder) -> None:
    scaling = {"rope_type": "linear", "factor": 4.0}
    path = edit(folder("llama2"), rope_scaling=scaling, rope_theta=500.0)
    frequencies = assert_as_transformers(path).architecture.rope_inverse_frequencies
    assert frequencies is not None
    assert frequencies[1] == pytest.approx(500.0 ** (-1 / 8) / 4)


def test_rope_theta_beside_rope_parameters(folder) -> None:
    assert_as_transformers(edit(folder("llama2"), rope_theta=500.0))


@pytest.mark.parametrize("name", ["llama2", "smollm3", "helium", "phi3", "glm", "stablelm"])
def test_the_default_of_rope_is_that_of_the_class(name: str, folder) -> None:
    assert_as_transformers(edit(folder(name), without=("rope_parameters", "rope_theta")))


@pytest.mark.parametrize("name", ["qwen3", "gemma", "granite", "olmo", "opt", "gpt2", "starcoder2"])
def test_the_defaults_of_other_keys_are_those_of_the_class(name: str, folder) -> None:
    path = folder(name)
    keys = ("rms_norm_eps", "norm_epsilon", "layer_norm_epsilon", "hidden_act", "n_inner",
            "activation_function", "embedding_multiplier", "attention_bias", "use_bias",
            "enable_bias", "initializer_range")  # fmt: skip
    assert_as_transformers(edit(path, without=keys))


def test_another_mask_is_refused(folder) -> None:
    with pytest.raises(UnsupportedModel, match=r"is_causal +absent or true +False"):
        load(edit(folder("llama2"), is_causal=False))


def test_an_unknown_key_of_the_class_is_refused_unless_at_its_default(folder, monkeypatch) -> None:
    path = edit(folder("gpt2"), scale_attn_by_inverse_layer_idx=False, reorder_and_upcast_attn=True)
    load(path)
    monkeypatch.setattr("alula.frontend.families.reading.IDLE", frozenset())
    with pytest.raises(UnsupportedModel, match=r"bos_token_id +50256 +1"):
        load(path)


def test_mistral_with_layer_types_is_ministral(folder) -> None:
    path = folder("mistral", sliding_window=16)
    edit(path, layer_types=["full_attention", "sliding_attention"])
    checkpoint = load(path)
    assert checkpoint.architecture.family == "ministral"
    assert checkpoint.architecture.max_context == 16


def test_a_tied_head_that_differs_is_used(folder) -> None:
    path = folder("smollm")
    head = np.random.default_rng(0).standard_normal((160, 64), np.float32)
    checkpoint = assert_as_transformers(edit(path, {"lm_head.weight": head}))
    assert not checkpoint.architecture.tied_head
    assert any("lm_head.weight is used" in note for note in checkpoint.notes)


def test_a_tied_head_that_is_equal_is_tied(folder) -> None:
    path = folder("gemma")
    embedding = load_file(path / "model.safetensors")["model.embed_tokens.weight"]
    checkpoint = assert_as_transformers(edit(path, {"lm_head.weight": embedding}))
    assert checkpoint.architecture.tied_head


def test_a_tied_embedding_under_the_name_of_the_head(folder) -> None:
    path = folder("gemma")
    embedding = load_file(path / "model.safetensors")["model.embed_tokens.weight"]
    moved = {"lm_head.weight": embedding, "model.embed_tokens.weight": None}
    assert assert_as_transformers(edit(path, moved)).architecture.tied_head


def test_a_head_that_is_missing_is_not_made_up(folder) -> None:
    path = edit(folder("smollm"), tie_word_embeddings=False)
    with pytest.raises(FrontendError, match=r"not without lm_head\.weight"):
        load(path)


def test_a_bias_beyond_the_configuration_is_refused(folder) -> None:
    bias = {"model.layers.0.self_attn.q_proj.bias": np.ones(64, np.float32)}
    with pytest.raises(UnsupportedModel, match=r"self_attn\.q_proj\.bias"):
        load(edit(folder("llama2"), bias))


def test_tensors_without_an_effect_are_named(folder) -> None:
    name = "model.layers.0.self_attn.rotary_emb.inv_freq"
    checkpoint = assert_as_transformers(edit(folder("llama2"), {name: np.ones(8, np.float32)}))
    assert checkpoint.notes == (f"tensors that nothing depends on are not read: {name}",)


HUGE = 10**400


@pytest.mark.parametrize(
    ("name", "changes", "message"),
    [
        ("llama2", {"rms_norm_eps": HUGE}, r"not a number of 401 digits \(.*: rms_norm_eps\)"),
        ("llama2", {"rope_theta": HUGE}, r"not a number of 401 digits \(.*: rope_theta\)"),
        ("gpt2", {"n_embd": HUGE}, r"not a number of 401 digits \(.*: n_embd\)"),
        ("opt", {"hidden_size": HUGE}, r"not a number of 401 digits"),
        ("llama3", {"rope_parameters": {"factor": 1e300}}, r"not 1e\+300 \(.*parameters\.factor\)"),
        ("llama2", {"rms_norm_eps": float("nan")}, r"not nan \(.*: rms_norm_eps\)"),
        ("llama2", {"head_dim": 2**40}, r"head_dim must be at most 160, the largest size"),
        ("gpt2", {"n_layer": 10**12}, r"must be complete, not \d+ for 1000000000000 layers"),
        ("smollm3", {"num_hidden_layers": 10**12}, r"must be complete, not \d+ for 1000000000000"),
        ("llama2", {"num_attention_heads": 0}, r"."),
        ("granite", {"logits_scaling": 0.0}, r"must be above zero, not 0.0 \(.*: logits_scaling\)"),
        ("granite", {"embedding_multiplier": -2.0}, r"must be above zero, not -2.0"),
        ("phi4-mini", {"rope_scaling": {"rope_type": "longrope", "short_factor": [1.0],
         "long_factor": [1.0]}}, r"."),
        ("llama2", {"model_type": "a\n\x1b[31mb"}, r"a\\n\\x1b\[31mb"),
        ("llama2", {"experts_implementation": "\x00"}, r"^transformers must build .*\\x00"),
        ("llama2", {"rope_parameters": {"rope_type": "yarn", "rope_theta": 1.0, "factor": 4.0}},
         r"rope_parameters must give frequencies, not float division by zero"),
    ],
)  # fmt: skip
def test_numbers_beyond_reason_end_in_one_line(
    name: str, changes: dict, message: str, folder
) -> None:
    with pytest.raises(FrontendError, match=message) as caught:
        load(edit(folder(name), **changes))
    assert caught.type is UnsupportedModel or "\n" not in str(caught.value)


def test_a_ramp_of_no_width_ends_in_one_line(folder) -> None:
    turns = 64 * 10000.0 ** (-2 * 3 / 16) / (2 * np.pi)
    rope = {"rope_type": "llama3", "rope_theta": 10000.0, "factor": 2.0, "low_freq_factor": turns,
            "high_freq_factor": turns, "original_max_position_embeddings": 64}  # fmt: skip
    with pytest.raises(FrontendError, match=r"rope_parameters must give frequencies, not float"):
        load(edit(folder("llama2"), rope_parameters=rope))


def test_a_context_without_end_costs_no_memory(folder) -> None:
    checkpoint = load(edit(folder("llama2"), max_position_embeddings=2**53))
    assert checkpoint.architecture.max_context == 2**53


def test_loading_leaves_log_level_and_random_numbers_alone(folder) -> None:
    path, level, state = folder("llama2"), logging.get_verbosity(), torch.random.get_rng_state()
    load(path)
    assert logging.get_verbosity() == level
    assert torch.equal(torch.random.get_rng_state(), state)
