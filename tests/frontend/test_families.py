"""Every family with every key of its configuration at a value that matters, beside transformers.

The keys are those that transformers' class of the family declares, and those that its shared code
looks for. Whatever Alula accepts must give transformers' logits; what it calls idle must not change
them.
"""

import copy
import dataclasses
from collections.abc import Iterator

import pytest
import torch
from transformers import CONFIG_MAPPING, AutoModelForCausalLM

from alula.frontend import FrontendError
from alula.frontend.configuration import one_line, quiet_transformers
from alula.frontend.families import FAMILIES
from alula.frontend.families.family import IDLE
from alula.frontend.float_reference import FloatReference
from alula.frontend.huggingface import load_pretrained
from alula.frontend.rounding import difference

IDS = torch.arange(3, 83, 2)
TOLERANCE = 1e-5
SMALL = {
    "vocab_size": 96,
    "hidden_size": 32,
    "intermediate_size": 48,
    "ffn_dim": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 8,
    "max_position_embeddings": 64,
    "sliding_window": 64,
    "no_rope_layers": [1, 1],
    "pad_token_id": None,
    "original_max_position_embeddings": 64,
    "word_embed_proj_dim": 32,
}
THETA = {"rope_theta": 1e4}
ROPES = [
    {"rope_type": "default", "rope_theta": 500.0},
    {"rope_type": "default", "partial_rotary_factor": 0.5, **THETA},
    {"rope_type": "linear", "factor": 3.0, **THETA},
    {"rope_type": "linear", "factor": 3.0, "partial_rotary_factor": 0.5, **THETA},
    {"rope_type": "dynamic", "factor": 3.0, **THETA},
    {"rope_type": "llama3", "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0,
     "original_max_position_embeddings": 32, **THETA},
    {"rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 16, **THETA},
    {"rope_type": "yarn", "factor": 4.0, "attention_factor": 1.3, "beta_fast": 8.0, **THETA},
    {"rope_type": "yarn", "factor": 4.0, "mscale": 2.0, "mscale_all_dim": 0.5, **THETA},
    {"rope_type": "yarn", "factor": 4.0, "beta_slow": 2.0, "truncate": False, **THETA},
    {"rope_type": "yarn", "factor": 4.0, "partial_rotary_factor": 0.5, **THETA},
    {"rope_type": "longrope", "short_factor": [1.0, 1.5, 2.0, 3.0],
     "long_factor": [2.0, 3.0, 4.0, 5.0], "original_max_position_embeddings": 32, **THETA},
    {"rope_type": "longrope", "short_factor": [1.0, 1.5], "long_factor": [2.0, 3.0], "factor": 2.0,
     "partial_rotary_factor": 0.5, **THETA},
    {"rope_type": "yarn", "factor": 4.0, "llama_4_scaling_beta": 0.5,
     "original_max_position_embeddings": 24, **THETA},
    {"rope_type": "proportional", "partial_rotary_factor": 0.5, **THETA},
]  # fmt: skip
NAMED = {
    "rope_parameters": ROPES,
    "vocab_size": [120],
    "hidden_size": [64],
    "n_embd": [64],
    "num_hidden_layers": [3],
    "n_layer": [3],
    "num_attention_heads": [2, 8],
    "n_head": [2, 8],
    "num_key_value_heads": [1, 4],
    "head_dim": [16],
    "intermediate_size": [80],
    "n_inner": [80],
    "ffn_dim": [80],
    "word_embed_proj_dim": [16],
    "max_position_embeddings": [48],
    "n_positions": [48],
    "sliding_window": [16],
    "layer_types": [["sliding_attention", "full_attention"]],
    "no_rope_layers": [[1, 0], [0, 0]],
    "hidden_act": ["relu", "gelu", "gelu_new", "gelu_fast", "silu", "mish", "relu2", "quick_gelu"],
    "hidden_activation": ["gelu", "silu", "mish"],
    "activation_function": ["relu", "gelu", "silu", "mish", "gelu_10"],
    "problem_type": ["regression"],
    "dtype": ["float32"],
    "architectures": [["Other"]],
    "transformers_version": ["4.0.0"],
    "id2label": [{0: "a"}],
    "label2id": [{"a": 0}],
    "pad_token_id": [7],
    "bos_token_id": [9],
    "eos_token_id": [[4, 5]],
    "summary_type": ["mean"],
    "summary_activation": ["tanh"],
    "clip_qkv": [0.1],
    "use_bidirectional_attention": [True],
    "max_window_layers": [1],
    "is_encoder_decoder": [True],
}
"""Values by key; other keys get them by the type of their default."""

SHARED = {
    "is_causal": [False],
    "attention_chunk_size": [8],
    "num_kv_shared_layers": [1],
    "per_layer_config": [{1: {"num_key_value_heads": 1}}],
    "rope_theta": [77.0],
    "rope_scaling": ROPES[2:3],
    "partial_rotary_factor": [0.5],
    "use_sliding_window": [True],
    "quantization_config": [{"quant_method": "gptq"}],
    "sliding_window": [16],
    "head_dim": [16],
    "layer_types": NAMED["layer_types"],
}
"""Keys that the code of all families looks for, declared or not."""


def values_of(field: dataclasses.Field, config: object) -> list[object]:
    if field.name in NAMED:
        return NAMED[field.name]
    default = getattr(config, field.name)
    if isinstance(default, bool):
        return [not default]
    if isinstance(default, float):
        return [0.3 if default < 1e-2 else 1.7 * default]
    if isinstance(default, int):
        return [default + 1]
    raise AssertionError(f"{field.name} needs a value in this test, its default is {default!r}")


def changes(name: str) -> Iterator[tuple[str, object]]:
    kind = CONFIG_MAPPING[name]
    default = kind()
    for field in dataclasses.fields(kind):
        for value in values_of(field, default):
            yield field.name, value
    for key, values in SHARED.items():
        if key not in {field.name for field in dataclasses.fields(kind)}:
            yield from ((key, value) for value in values)


def small_config(name: str, **changed: object) -> object:
    kind = CONFIG_MAPPING[name]
    declared = {field.name for field in dataclasses.fields(kind)}
    mapped = {kind.attribute_map.get(key, key): value for key, value in SMALL.items()}
    return kind(**{key: v for key, v in mapped.items() if key in declared} | changed)


def model_of(name: str, **changed: object) -> torch.nn.Module:
    """A random model of transformers, in which every weight counts."""
    torch.manual_seed(0)
    config = small_config(name, **changed)
    # Of transformers' ways to compute attention, this one caps scores.
    eager = {"attn_implementation": "eager"} if name == "gemma2" else {}
    model = AutoModelForCausalLM.from_config(config, dtype=torch.float32, **eager).eval()
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if parameter.ndim > 1:
                parameter.normal_(std=parameter.shape[-1] ** -0.5, generator=generator)
            else:
                mean = 1.0 if name.endswith("weight") else 0.0
                parameter.normal_(mean=mean, std=0.2, generator=generator)
    return model


def logits_of(model: torch.nn.Module, tokens: int = len(IDS)) -> torch.Tensor:
    with torch.no_grad():
        return model(IDS[None, :tokens], use_cache=False).logits[0]


def check(name: str, key: str, value: object, plain: torch.Tensor) -> str | None:
    """What is wrong with one key at one value."""
    try:
        model = model_of(name, **{key: copy.deepcopy(value)})
        theirs = logits_of(model)
    except Exception as error:
        return None if one_line(error) else "an empty error"  # Transformers refuses it itself.
    if key in IDLE | {*FAMILIES[name].idle} and not torch.equal(theirs, plain):
        return "is not idle"
    try:
        reference = FloatReference(load_pretrained(model))
    except FrontendError:
        return None
    tokens = min(len(IDS), reference.architecture.max_context)
    worst = difference(reference.logits(IDS[:tokens]), logits_of(model, tokens)).max()
    return None if worst <= TOLERANCE else f"differs by {worst:.2g}"


@pytest.mark.parametrize("name", FAMILIES)
def test_every_key_is_read_as_transformers_does_or_refused(name: str) -> None:
    with quiet_transformers():
        model = model_of(name)
        plain = logits_of(model)
        assert (
            difference(FloatReference(load_pretrained(model)).logits(IDS), plain).max() < TOLERANCE
        )
        wrong = {
            f"{key}={value}": problem
            for key, value in changes(name)
            if (problem := check(name, key, value, plain)) is not None
        }
    assert not wrong
