"""Small random models of every family, as transformers writes them."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch
import transformers
from transformers import PreTrainedModel

SIZES = {
    "vocab_size": 160,
    "hidden_size": 64,
    "intermediate_size": 96,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "max_position_embeddings": 64,
}
OPT_SIZES = {key: value for key, value in SIZES.items() if key != "intermediate_size"}
GPT2_SIZES = {"vocab_size": 160, "n_embd": 64, "n_layer": 2, "n_head": 4, "n_positions": 64}
KV2 = {**SIZES, "num_key_value_heads": 2}
LLAMA3_ROPE = {
    "rope_type": "llama3",
    "rope_theta": 500000.0,
    "factor": 8.0,
    "low_freq_factor": 1.0,
    "high_freq_factor": 4.0,
    "original_max_position_embeddings": 32,
}

YARN = {
    "rope_type": "yarn",
    "rope_theta": 10000.0,
    "factor": 4.0,
    "original_max_position_embeddings": 16,
}
LONGROPE = {
    "rope_type": "longrope",
    "rope_theta": 10000.0,
    "short_factor": [1.0, 1.1, 1.3, 1.6, 2.0, 2.5],
    "long_factor": [2.0, 3.0, 4.0, 5.0, 6.0, 7.0],
    "partial_rotary_factor": 0.75,
}
MINISTRAL3_ROPE = {**YARN, "llama_4_scaling_beta": 0.1, "original_max_position_embeddings": 56}
GRANITE_MULTIPLIERS = {
    "embedding_multiplier": 12.0,
    "residual_multiplier": 0.22,
    "logits_scaling": 8.0,
    "attention_multiplier": 0.1,
}

CONFIGS: dict[str, tuple[str, dict]] = {
    "llama2": ("Llama", SIZES),
    "llama3": ("Llama", {**SIZES, "num_key_value_heads": 2, "rope_parameters": LLAMA3_ROPE}),
    "llama-linear-rope": (
        "Llama",
        {
            **SIZES,
            "head_dim": 24,
            "rope_parameters": {"rope_type": "linear", "rope_theta": 10000.0, "factor": 4.0},
        },
    ),
    "llama-biased": ("Llama", {**SIZES, "attention_bias": True, "mlp_bias": True}),
    "smollm": ("Llama", {**SIZES, "num_key_value_heads": 1, "tie_word_embeddings": True}),
    "mistral": ("Mistral", {**SIZES, "num_key_value_heads": 2, "sliding_window": None}),
    "qwen2": ("Qwen2", {**SIZES, "num_key_value_heads": 2, "tie_word_embeddings": True}),
    "qwen3": ("Qwen3", {**SIZES, "num_key_value_heads": 2, "head_dim": 32}),
    "smollm3": ("SmolLM3", {**SIZES, "num_key_value_heads": 2, "no_rope_layers": [1, 1]}),
    "opt": ("OPT", {**OPT_SIZES, "ffn_dim": 96, "word_embed_proj_dim": 64}),
    "opt-gelu": (
        "OPT",
        {
            **OPT_SIZES,
            "ffn_dim": 96,
            "word_embed_proj_dim": 64,
            "activation_function": "gelu",
            "enable_bias": False,
        },
    ),
    "gpt2": ("GPT2", GPT2_SIZES),
    "llama-yarn": ("Llama", {**KV2, "rope_parameters": YARN}),
    "llama-dynamic-rope": (
        "Llama",
        {**KV2, "rope_parameters": {"rope_type": "dynamic", "rope_theta": 1e4, "factor": 2.0}},
    ),
    "qwen3-yarn": ("Qwen3", {**KV2, "head_dim": 32, "rope_parameters": YARN}),
    "phi3": ("Phi3", KV2),
    "phi4": ("Phi3", {**KV2, "partial_rotary_factor": 0.5}),
    "phi4-mini": (
        "Phi3",
        {
            **KV2,
            "rope_parameters": LONGROPE,
            "original_max_position_embeddings": 56,
            "tie_word_embeddings": True,
        },
    ),
    "starcoder2": ("Starcoder2", KV2),
    "starcoder2-unbiased": ("Starcoder2", {**KV2, "use_bias": False, "tie_word_embeddings": False}),
    "gemma": ("Gemma", {**SIZES, "num_key_value_heads": 1, "head_dim": 32}),
    "gemma-untied": ("Gemma", {**KV2, "head_dim": 16, "tie_word_embeddings": False}),
    "granite": ("Granite", {**KV2, **GRANITE_MULTIPLIERS, "tie_word_embeddings": True}),
    "granite-biased": (
        "Granite",
        {**KV2, **GRANITE_MULTIPLIERS, "attention_bias": True, "mlp_bias": True},
    ),
    "glm": ("Glm", {**KV2, "head_dim": 16}),
    "helium": ("Helium", {**KV2, "head_dim": 16}),
    "ernie4_5": ("Ernie4_5", {**KV2, "use_bias": True}),
    "olmo": ("Olmo", KV2),
    "stablelm": ("StableLm", {**KV2, "use_qkv_bias": True}),
    "internlm3": ("InternLM3", {**KV2, "head_dim": 16, "attention_bias": True, "mlp_bias": True}),
    "iquestcoder": ("IQuestCoder", {**KV2, "head_dim": 16}),
    "cwm": ("Cwm", {**KV2, "head_dim": 16, "rope_parameters": LLAMA3_ROPE}),
    "seed_oss": ("SeedOss", {**KV2, "head_dim": 32, "attention_out_bias": True}),
    "ministral": ("Ministral", {**KV2, "head_dim": 16}),
    "ministral3": ("Ministral3", {**KV2, "head_dim": 32, "rope_parameters": MINISTRAL3_ROPE}),
    "gpt2-unscaled": ("GPT2", {**GPT2_SIZES, "n_inner": 80, "scale_attn_weights": False}),
}
SPECIAL = {"pad_token_id": None, "bos_token_id": 1, "eos_token_id": 2}


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """Models this small are slower on several."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="session")
def random_model() -> Callable[..., PreTrainedModel]:
    """A function: a name of ``CONFIGS`` and changes to its configuration, to a model in fp32."""

    def build(name: str, **changes: object) -> PreTrainedModel:
        kind, values = CONFIGS[name]
        config = getattr(transformers, f"{kind}Config")(**{**values, **SPECIAL, **changes})
        torch.manual_seed(sum(map(ord, name)))
        model = transformers.AutoModelForCausalLM.from_config(config).eval()
        with torch.no_grad():
            for parameter in model.parameters():
                parameter.add_(torch.randn_like(parameter), alpha=0.1)
        return model

    return build


@pytest.fixture
def folder(tmp_path: Path, random_model: Callable[..., PreTrainedModel]) -> Callable[..., Path]:
    """A function: a name of ``CONFIGS`` to the folder of its model."""

    def save(name: str = "llama2", **changes: object) -> Path:
        random_model(name, **changes).save_pretrained(tmp_path / name)
        return tmp_path / name

    return save
