"""Families that are well known and not read, with the reason."""

from collections.abc import Mapping

_PARALLEL = "attention and MLP side by side"
_POST_NORM = "norms behind attention and MLP, none before them"
_EXPERTS = "a mixture of experts"
_LATENT = "keys and values out of a latent vector"
_ROPES = "rope that differs from layer to layer"
_STATE = "layers with a state instead of attention"
_ALIBI = "positions as a bias on scores"
_SQUARED = "squared ReLU"

REFUSED: Mapping[str, str] = {
    "apertus": "xIELU",
    "arcee": _SQUARED,
    "bitnet": "norms inside attention and MLP",
    "bloom": _ALIBI,
    "codegen": _PARALLEL,
    "cohere": _PARALLEL,
    "cohere2": _PARALLEL,
    "dbrx": _EXPERTS,
    "deepseek_v2": _LATENT,
    "deepseek_v3": _LATENT,
    "exaone4": _POST_NORM,
    "falcon": _PARALLEL,
    "falcon_h1": _STATE,
    "falcon_mamba": _STATE,
    "gemma3": _ROPES,
    "gemma3_text": _ROPES,
    "gpt_neox": _PARALLEL,
    "gpt_oss": _EXPERTS,
    "gptj": _PARALLEL,
    "granitemoe": _EXPERTS,
    "granitemoehybrid": _EXPERTS,
    "hunyuan_v1_dense": "norms on queries and keys after rope",
    "hyperclovax": "norms behind attention and MLP that a flag decides",
    "jais2": _SQUARED,
    "jamba": _STATE,
    "lfm2": "convolutions instead of attention",
    "llama4": _EXPERTS,
    "mamba": _STATE,
    "mamba2": _STATE,
    "minicpm3": _LATENT,
    "mistral3": "images beside text: its text part alone is ministral3 or mistral",
    "mixtral": _EXPERTS,
    "mpt": _ALIBI,
    "nanochat": _SQUARED,
    "nemotron": _SQUARED,
    "olmo2": _POST_NORM,
    "olmo3": _POST_NORM,
    "olmoe": _EXPERTS,
    "persimmon": "norms with a bias on queries and keys",
    "phi": _PARALLEL,
    "phimoe": _EXPERTS,
    "qwen2_moe": _EXPERTS,
    "qwen3_moe": _EXPERTS,
    "qwen3_next": _STATE,
    "rwkv": _STATE,
}
"""What the machine or the importer does not have, by ``model_type``."""
