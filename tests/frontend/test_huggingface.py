"""Hugging Face folders, compared with transformers on the same weights."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.numpy import load_file, save_file
from tests.frontend.conftest import CONFIGS
from transformers import PreTrainedModel

from alula.frontend import Checkpoint, FrontendError, UnsupportedModel, load
from alula.frontend.float_reference import FloatReference
from alula.frontend.huggingface import load_pretrained

IDS = list(range(3, 150, 3))
TOLERANCE = 1e-5


def assert_same_logits(checkpoint: Checkpoint, model: torch.nn.Module) -> None:
    with torch.no_grad():
        expected = model(torch.tensor([IDS])).logits[0]
    torch.testing.assert_close(
        FloatReference(checkpoint).logits(IDS), expected, atol=TOLERANCE, rtol=TOLERANCE
    )


def edit_config(folder: Path, **changes: object) -> None:
    path = folder / "config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


def edit_tensors(folder: Path, change: Callable[[dict], None]) -> None:
    path = folder / "model.safetensors"
    tensors = load_file(path)
    change(tensors)
    save_file(tensors, path)


@pytest.mark.parametrize("name", CONFIGS)
def test_a_folder_and_a_model_in_memory_read_alike(name: str, folder, random_model) -> None:
    model: PreTrainedModel = random_model(name)
    kept, stored = load_pretrained(model), load(folder(name))
    assert_same_logits(stored, model)
    assert kept.architecture == stored.architecture
    for tensor in stored.names():
        np.testing.assert_array_equal(kept.tensor(tensor), stored.tensor(tensor))


def test_shards_read_like_one_file(random_model, tmp_path: Path) -> None:
    random_model("llama3").save_pretrained(tmp_path, max_shard_size="60KB")
    assert len(list(tmp_path.glob("model-*.safetensors"))) > 1
    assert_same_logits(load(tmp_path), random_model("llama3"))


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_number_types_become_float32(dtype: torch.dtype, random_model, tmp_path: Path) -> None:
    model = random_model("llama2").to(dtype)
    model.save_pretrained(tmp_path)
    values = load(tmp_path).tensor("layers.1.mlp.down.weight")
    assert values.dtype == np.float32
    np.testing.assert_array_equal(
        values, model.model.layers[1].mlp.down_proj.weight.detach().float()
    )


def test_a_tied_head_is_stored_once(folder) -> None:
    checkpoint = load(folder("smollm"))
    assert "lm_head.weight" not in checkpoint.names()
    assert checkpoint.shape("lm_head.weight") == checkpoint.shape("embed.weight")
    np.testing.assert_array_equal(
        checkpoint.tensor("lm_head.weight"), checkpoint.tensor("embed.weight")
    )


def test_canonical_names_of_a_layer(folder) -> None:
    shapes = load(folder("gpt2")).architecture.unit_tensors("layers.1")
    assert shapes["layers.1.attn.k.weight"] == (64, 64)
    assert shapes["layers.1.mlp.up.weight"] == (256, 64)
    assert shapes["layers.1.mlp_norm.bias"] == (64,)


def test_a_sliding_window_limits_the_context(folder) -> None:
    checkpoint = load(folder("mistral", sliding_window=16))
    assert checkpoint.architecture.max_context == 16
    assert checkpoint.notes == ("context limited from 64 to the sliding window of 16",)


REFUSED = {
    "do_layer_norm_before": ("opt", {"do_layer_norm_before": False}),
    "word_embed_proj_dim": ("opt", {"word_embed_proj_dim": 32}),
    "_remove_final_layer_norm": ("opt", {"_remove_final_layer_norm": True}),
    "scale_attn_by_inverse_layer_idx": ("gpt2", {"scale_attn_by_inverse_layer_idx": True}),
    "activation": ("llama2", {"hidden_act": "mish"}),
    "rope_type": ("llama2", {"rope_parameters": {"rope_type": "proportional", "factor": 2.0}}),
    "partial_rotary_factor": ("llama2", {"partial_rotary_factor": 0.5}),
    "no_rope_layers": ("smollm3", {"no_rope_layers": [1, 0]}),
    "quantised weights": ("llama2", {"quantization_config": {"quant_method": "gptq"}}),
    "unknown architecture": ("llama2", {"model_type": "plain"}),
}


@pytest.mark.parametrize("reason", REFUSED)
def test_what_is_not_supported_comes_as_a_table(reason: str, folder) -> None:
    name, changes = REFUSED[reason]
    path = folder(name)
    edit_config(path, **changes)
    with pytest.raises(UnsupportedModel) as caught:
        load(path)
    assert [refusal.reason for refusal in caught.value.refusals] == [reason]
    heading, line, row = str(caught.value).splitlines()[1:]
    assert heading.split() == ["unit", "reason", "limit", "actual", "nearest", "supported", "form"]
    assert set(line) == {"-", " "}
    assert reason in row


def test_every_reason_is_in_the_table(folder) -> None:
    path = folder("llama2")
    edit_config(path, hidden_act="mish", rope_parameters={"rope_type": "proportional"})
    with pytest.raises(UnsupportedModel) as caught:
        load(path)
    assert {refusal.reason for refusal in caught.value.refusals} == {"activation", "rope_type"}


def test_a_well_known_family_is_refused_for_what_it_has(folder) -> None:
    path = folder("llama2")
    edit_config(path, model_type="gemma3_text")
    with pytest.raises(UnsupportedModel) as caught:
        load(path)
    assert caught.value.refusals[0].reason == "rope that differs from layer to layer"


def test_tensors_beyond_the_family_are_refused(folder) -> None:
    path = folder("llama2")
    extra = {"model.layers.0.mlp.router.weight": np.zeros((2, 64), np.float32)}
    edit_tensors(path, lambda tensors: tensors.update(extra))
    with pytest.raises(UnsupportedModel, match=r"router") as caught:
        load(path)
    assert caught.value.refusals[0].reason == "tensors beyond the family"


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"hidden_size": "64"},
            r"must be of type int, not '64' \(.*config.json: hidden_size\)",
        ),
        ({"num_hidden_layers": 3}, "must be complete, not without model.layers.2"),
        ({"num_hidden_layers": 10**12}, "must be complete, not 21 for 1000000000000 layers"),
        ({"num_hidden_layers": 0}, "must be a positive integer, not 0"),
        ({"num_key_value_heads": 3}, "heads must be a multiple of kv_heads"),
        ({"num_attention_heads": 128, "head_dim": None}, "not so: The hidden size"),
        ({"intermediate_size": 95}, r"must have the shape \(95, 64\) by the configuration"),
        ({"rms_norm_eps": "tiny"}, "must be of type float, not 'tiny'"),
        ({"tie_word_embeddings": 1}, "must be of type bool, not 1"),
        ({"rope_parameters": [1]}, r"must be of type dict, not \[1\]"),
        ({"model_type": None}, "model_type must be given, not missing"),
        ({"vocab_size": None}, "must be of type int, not None .*vocab_size"),
    ],
)
def test_a_wrong_configuration_names_the_key(changes: dict, message: str, folder) -> None:
    path = folder("llama2")
    edit_config(path, **changes)
    with pytest.raises(FrontendError, match=message):
        load(path)


@pytest.mark.parametrize("text", ["", "[]", "{", "\x00", "[" * 100_000])
def test_a_broken_configuration(text: str, folder) -> None:
    path = folder("llama2")
    (path / "config.json").write_text(text)
    with pytest.raises(FrontendError, match=r"config.json must be"):
        load(path)


def test_a_missing_tensor_is_named(folder) -> None:
    path = folder("llama2")
    edit_tensors(path, lambda tensors: tensors.pop("model.layers.1.self_attn.k_proj.weight"))
    with pytest.raises(FrontendError, match=r"not without model.layers.1.self_attn.k_proj.weight"):
        load(path)


def test_numbers_that_are_not_finite_are_refused_when_read(folder) -> None:
    path = folder("llama2")
    edit_tensors(path, lambda tensors: tensors["model.norm.weight"].__setitem__(3, np.nan))
    with pytest.raises(
        FrontendError, match=r"final_norm.weight must be finite, not NaN .* in 1 places"
    ):
        load(path).tensor("final_norm.weight")


@pytest.mark.parametrize("cut", [0, 4, 100, -1])
def test_truncated_safetensors(cut: int, folder) -> None:
    path = folder("llama2")
    file = path / "model.safetensors"
    file.write_bytes(file.read_bytes()[:cut])
    with pytest.raises(FrontendError, match=r"must be safetensors, not truncated or corrupt"):
        load(path)


def test_a_number_type_without_a_meaning_here(folder) -> None:
    path = folder("llama2")
    edit_tensors(path, lambda t: t.update({"model.norm.weight": np.zeros(64, np.int8)}))
    with pytest.raises(UnsupportedModel, match=r"number type"):
        load(path)


def test_pickles_are_refused_and_not_run(folder, tmp_path: Path) -> None:
    class Trap:
        def __reduce__(self) -> tuple:
            return (tmp_path.joinpath("sprung").touch, ())

    path = folder("llama2")
    (path / "model.safetensors").unlink()
    torch.save({"weight": Trap()}, path / "pytorch_model.bin")
    with pytest.raises(FrontendError, match=r"nothing is executed from a model file"):
        load(path)
    shutil.copy(path / "pytorch_model.bin", path / "model.safetensors")
    with pytest.raises(FrontendError, match=r"nothing is executed from a model file"):
        load(path)
    assert not (tmp_path / "sprung").exists()


def test_a_folder_without_weights_or_configuration(folder, tmp_path: Path) -> None:
    path = folder("llama2")
    (path / "model.safetensors").unlink()
    with pytest.raises(FrontendError, match=r"must hold model.safetensors"):
        load(path)
    with pytest.raises(FrontendError, match=r"config\.json must be readable"):
        load(tmp_path)


def move_under_an_index(path: Path, index: object) -> None:
    """Rename the weights to a shard, and write an index."""
    (path / "model.safetensors").rename(path / "model-00001-of-00001.safetensors")
    (path / "model.safetensors.index.json").write_text(json.dumps(index))


@pytest.mark.parametrize(
    "index", [{}, {"weight_map": {}}, {"weight_map": {"a": "../../etc/passwd"}}, {"weight_map": 3}]
)
def test_an_index_that_is_no_index(index: dict, folder) -> None:
    path = folder("llama2")
    move_under_an_index(path, index)
    with pytest.raises(FrontendError, match=r"weight_map must be"):
        load(path)


def test_an_index_that_promises_more(folder) -> None:
    path = folder("llama2")
    move_under_an_index(path, {"weight_map": {"a": "model-00001-of-00001.safetensors"}})
    with pytest.raises(FrontendError, match=r"the shards must hold a, not lack it"):
        load(path)


def test_a_missing_shard(folder) -> None:
    path = folder("llama2")
    move_under_an_index(path, {"weight_map": {"a": "model-00001-of-00002.safetensors"}})
    with pytest.raises(FrontendError, match=r"model-00001-of-00002.safetensors must be readable"):
        load(path)
