"""Hugging Face models: a folder, or one already in memory with its configuration."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

from alula.frontend import rope
from alula.frontend.binding import Piece, Shape, bind, rows, same, surplus, transposed
from alula.frontend.checkpoint import Checkpoint
from alula.frontend.fields import Fields
from alula.frontend.refusal import FrontendError, Refusal, UnsupportedModel
from alula.frontend.safetensors_files import DTYPES, SafetensorsFiles, read_json
from alula.ir.architecture import Architecture

_ACTIVATIONS = {
    "silu": "silu",
    "swish": "silu",
    "gelu": "gelu",
    "gelu_new": "gelu_tanh",
    "gelu_pytorch_tanh": "gelu_tanh",
    "gelu_fast": "gelu_tanh",
    "relu": "relu",
}

_LLAMA_NAMES = {
    "embed": "embed_tokens",
    "final_norm": "norm",
    "attn_norm": "input_layernorm",
    "attn.q": "self_attn.q_proj",
    "attn.k": "self_attn.k_proj",
    "attn.v": "self_attn.v_proj",
    "attn.o": "self_attn.o_proj",
    "attn.q_norm": "self_attn.q_norm",
    "attn.k_norm": "self_attn.k_norm",
    "mlp_norm": "post_attention_layernorm",
    "mlp.gate": "mlp.gate_proj",
    "mlp.up": "mlp.up_proj",
    "mlp.down": "mlp.down_proj",
}

_OPT_NAMES = {
    "embed": "embed_tokens",
    "final_norm": "final_layer_norm",
    "attn_norm": "self_attn_layer_norm",
    "attn.q": "self_attn.q_proj",
    "attn.k": "self_attn.k_proj",
    "attn.v": "self_attn.v_proj",
    "attn.o": "self_attn.out_proj",
    "mlp_norm": "final_layer_norm",
    "mlp.up": "fc1",
    "mlp.down": "fc2",
}

_GPT2_NAMES = {
    "embed": "wte",
    "final_norm": "ln_f",
    "attn_norm": "ln_1",
    "attn.o": "attn.c_proj",
    "mlp_norm": "ln_2",
    "mlp.up": "mlp.c_fc",
    "mlp.down": "mlp.c_proj",
}

_OPT_POSITION_OFFSET = 2
_QKV = ("attn.q", "attn.k", "attn.v")
_IGNORED = re.compile(r"(.*\.)?(rotary_emb\.inv_freq|attn\.(masked_)?bias)|lm_head\.weight")


@dataclass
class _Reading:
    """What reading a configuration gives besides the architecture."""

    refusals: list[Refusal]
    notes: list[str]

    def refuse(self, *row: object) -> None:
        self.refusals.append(Refusal(*map(str, row)))


@dataclass(frozen=True)
class _Family:
    """One ``model_type``: its configuration, its names, its layout."""

    architecture: Callable[[Fields, _Reading], dict[str, Any]]
    prefixes: tuple[str, ...]
    layers: str
    names: Mapping[str, str]
    place: Callable[[str, str, Shape], Piece]


def load_huggingface(folder: Path) -> Checkpoint:
    """A folder with config.json and safetensors as a Checkpoint.

    Nothing in the folder is executed. Weights stay on disk until asked for.

    Raises:
        FrontendError: A file is missing, unreadable or corrupt, or the tensors contradict the
            configuration.
        UnsupportedModel: The family, one of its options or a number type is not supported.
    """
    config = read_json(folder / "config.json")
    family = _family(config, folder)
    architecture, reading = _read(family, config, folder / "config.json")
    files = SafetensorsFiles(folder)
    weights = {kind for name, kind in files.dtypes.items() if not _IGNORED.fullmatch(name)}
    kinds = sorted(weights - {*DTYPES})
    if kinds:
        reading.refuse("model", "number type", ", ".join(DTYPES), ", ".join(kinds), "BF16")
        raise UnsupportedModel(folder, reading.refusals)
    digest = sha256(json.dumps(config, sort_keys=True).encode() + files.table_id)
    tokenizer = any(
        (folder / name).is_file() for name in ("tokenizer.json", "tokenizer.model", "vocab.json")
    )
    return _checkpoint(
        family,
        architecture,
        files.shapes,
        files.read,
        source=folder,
        content_id=digest.hexdigest(),
        tokenizer_source=folder if tokenizer else None,
        notes=tuple(reading.notes),
    )


def load_pretrained(model: Any) -> Checkpoint:
    """A transformers model in memory, read through its configuration and state.

    Later changes to the model's weights show in the Checkpoint's tensors, not in its content id.
    Raises as `load_huggingface`.
    """
    config = model.config.to_dict()
    source = f"{type(model).__module__}.{type(model).__qualname__}"
    family = _family(config, source)
    architecture, reading = _read(family, config, source)
    state = model.state_dict()
    digest = sha256(json.dumps(config, sort_keys=True, default=str).encode())
    for name, tensor in state.items():
        digest.update(name.encode())
        digest.update(tensor.detach().cpu().float().contiguous().numpy().data)
    return _checkpoint(
        family,
        architecture,
        {name: tuple(tensor.shape) for name, tensor in state.items()},
        lambda name: state[name].detach().cpu().float().numpy(),
        source=source,
        content_id=digest.hexdigest(),
        notes=tuple(reading.notes),
    )


def _family(config: Mapping[str, Any], where: object) -> _Family:
    name = Fields(config, where).text("model_type")
    if name not in FAMILIES:
        raise UnsupportedModel(
            where, [Refusal("model", "unknown architecture", ", ".join(FAMILIES), name, "llama")]
        )
    return FAMILIES[name]


def _read(
    family: _Family, config: Mapping[str, Any], where: object
) -> tuple[Architecture, _Reading]:
    reading = _Reading([], [])
    fields = Fields(config, where)
    if "quantization_config" in fields:
        method = fields.table("quantization_config").text("quant_method", "unnamed")
        reading.refuse("model", "quantised weights", "float", method, "the float model, or GGUF")
    values = family.architecture(fields, reading)
    if reading.refusals:
        raise UnsupportedModel(where, reading.refusals)
    try:
        return Architecture(family=config["model_type"], **values), reading
    except ValueError as error:
        raise FrontendError(f"{error} ({where})") from error


def _checkpoint(
    family: _Family,
    architecture: Architecture,
    table: Mapping[str, Shape],
    read: Callable[[str], Any],
    **about: Any,
) -> Checkpoint:
    source = about["source"]
    embedding = family.names["embed"] + ".weight"
    prefix = next((p for p in family.prefixes if p + embedding in table), family.prefixes[0])

    def place(name: str, shape: Shape) -> Piece:
        return _place(family, prefix, name, shape)

    pieces = bind(architecture, place, table, source)
    unused = surplus(
        pieces, table, architecture.family, lambda name: bool(_IGNORED.fullmatch(name))
    )
    if unused:
        raise UnsupportedModel(source, unused)

    def reader(piece: Piece) -> Callable[[], Any]:
        return lambda: piece.convert(read(piece.source))

    return Checkpoint(
        architecture, {name: reader(piece) for name, piece in pieces.items()}, **about
    )


def _place(family: _Family, prefix: str, name: str, shape: Shape) -> Piece:
    if name == "lm_head.weight":
        return same(name, shape)
    if name == "embed.position":
        return family.place(name, prefix, shape)
    module, part = name.rsplit(".", 1)
    if not module.startswith("layers."):
        return same(f"{prefix}{family.names[module]}.{part}", shape)
    _, layer, module = module.split(".", 2)
    stored = f"{prefix}{family.layers}.{layer}."
    if module in family.names:
        stored += f"{family.names[module]}.{part}"
    return family.place(f"{module}.{part}", stored, shape)


def _place_llama(name: str, stored: str, shape: Shape) -> Piece:
    return same(stored, shape)


def _place_opt(name: str, stored: str, shape: Shape) -> Piece:
    if name == "embed.position":
        padded = (shape[0] + _OPT_POSITION_OFFSET, shape[1])
        whole = same(f"{stored}embed_positions.weight", padded)
        return rows(whole, _OPT_POSITION_OFFSET, padded[0])
    return same(stored, shape)


def _place_gpt2(name: str, stored: str, shape: Shape) -> Piece:
    """GPT-2's Conv1D keeps ``[inputs, outputs]``, and q, k and v beside each other."""
    if name == "embed.position":
        return same(f"{stored}wpe.weight", shape)
    module, part = name.rsplit(".", 1)
    convert = transposed if part == "weight" and "norm" not in module else same
    if module not in _QKV:
        return convert(stored, shape)
    start = _QKV.index(module) * shape[0]
    fused = convert(f"{stored}attn.c_attn.{part}", (3 * shape[0], *shape[1:]))
    return rows(fused, start, start + shape[0])


def _activation(config: Fields, key: str, default: str, reading: _Reading) -> str:
    name = config.text(key, default)
    if name not in _ACTIVATIONS:
        reading.refuse("mlp", "activation", ", ".join(_ACTIVATIONS), name, "silu or gelu")
        return "silu"
    return _ACTIVATIONS[name]


def _neutral(config: Fields, reading: _Reading, **options: bool) -> None:
    """Refuses each option that is not set to the value at which it does nothing."""
    for key, neutral in options.items():
        if config.flag(key, neutral) is not neutral:
            reading.refuse("model", key, str(neutral), str(not neutral), f"{key} {neutral}")


def _llama(
    config: Fields, reading: _Reading, biases: frozenset[str] = frozenset()
) -> dict[str, Any]:
    hidden, heads = config.size("hidden_size"), config.size("num_attention_heads")
    head_dim = config.size("head_dim", hidden // heads)
    return {
        "vocab_size": config.size("vocab_size"),
        "hidden_size": hidden,
        "layers": config.size("num_hidden_layers"),
        "heads": heads,
        "kv_heads": config.size("num_key_value_heads", heads),
        "head_dim": head_dim,
        "intermediate_size": config.size("intermediate_size"),
        "max_context": _context(config, reading),
        "norm": "rmsnorm",
        "norm_eps": config.real("rms_norm_eps", 1e-6),
        "activation": _activation(config, "hidden_act", "silu", reading),
        "gated_mlp": True,
        "position": "rope",
        "rope_inverse_frequencies": _frequencies(config, head_dim, reading),
        "tied_head": config.flag("tie_word_embeddings", False),
        "biases": biases | _optional_biases(config),
    }


def _optional_biases(config: Fields) -> frozenset[str]:
    biases: set[str] = set()
    if config.flag("attention_bias", False):
        biases |= {*_QKV, "attn.o"}
    if config.flag("mlp_bias", False):
        biases |= {"mlp.gate", "mlp.up", "mlp.down"}
    return frozenset(biases)


def _context(config: Fields, reading: _Reading) -> int:
    """Positions the model is exact for with full attention: no more than its sliding window."""
    context = config.size("max_position_embeddings")
    used = config.flag("use_sliding_window", True)
    if used and "sliding_window" in config:
        window = config.size("sliding_window")
        if window < context:
            reading.notes.append(
                f"context limited from {context} to the sliding window of {window}"
            )
            return window
    return context


def _frequencies(config: Fields, head_dim: int, reading: _Reading) -> tuple[float, ...]:
    table = config.table("rope_parameters" if "rope_parameters" in config else "rope_scaling")
    theta = table.positive("rope_theta", config.positive("rope_theta", 10000.0))
    frequencies = rope.inverse_frequencies(head_dim, theta)
    kind = table.text("rope_type", table.text("type", "default"))
    partial = table.real("partial_rotary_factor", config.real("partial_rotary_factor", 1.0))
    if partial != 1.0:
        reading.refuse("attn", "partial rope", "the whole head", f"{partial:g} of it", "full rope")
    if kind == "linear":
        return rope.linear(frequencies, table.positive("factor"))
    if kind == "llama3":
        return rope.llama3(
            frequencies,
            factor=table.positive("factor"),
            low_freq_factor=table.positive("low_freq_factor"),
            high_freq_factor=table.positive("high_freq_factor"),
            original_context=table.size(
                "original_max_position_embeddings", config.size("max_position_embeddings")
            ),
        )
    if kind != "default":
        reading.refuse("attn", "rope scaling", "default, linear, llama3", kind, "linear")
    return frequencies


def _qwen2(config: Fields, reading: _Reading) -> dict[str, Any]:
    return _llama(_without_window(config), reading, biases=frozenset(_QKV))


def _qwen3(config: Fields, reading: _Reading) -> dict[str, Any]:
    head_dim = config.size("head_dim", 128)
    explicit = Fields({**config.values, "head_dim": head_dim}, config.where)
    return _llama(_without_window(explicit), reading) | {"qk_norm": True}


def _smollm3(config: Fields, reading: _Reading) -> dict[str, Any]:
    turned = config.items("no_rope_layers")
    if not turned:
        every = config.size("no_rope_layer_interval", 4)
        turned = [(i + 1) % every != 0 for i in range(config.size("num_hidden_layers"))]
    without = [i for i, rope_on in enumerate(turned) if not rope_on]
    if without:
        reading.refuse(
            "attn", "layers without rope", "none", f"{len(without)} layers", "rope in all"
        )
    explicit = {"tie_word_embeddings": True, **config.values}
    return _llama(_without_window(Fields(explicit, config.where)), reading)


def _without_window(config: Fields) -> Fields:
    """Families whose ``sliding_window`` counts only if ``use_sliding_window`` says so."""
    return Fields({"use_sliding_window": False, **config.values}, config.where)


def _opt(config: Fields, reading: _Reading) -> dict[str, Any]:
    hidden, heads = config.size("hidden_size"), config.size("num_attention_heads")
    _neutral(
        config,
        reading,
        do_layer_norm_before=True,
        layer_norm_elementwise_affine=True,
        _remove_final_layer_norm=False,
    )
    projected = config.size("word_embed_proj_dim", hidden)
    if projected != hidden:
        reading.refuse(
            "embed", "word_embed_proj_dim", f"hidden size {hidden}", projected, "equal sizes"
        )
    biased = config.flag("enable_bias", True)
    return {
        "vocab_size": config.size("vocab_size"),
        "hidden_size": hidden,
        "layers": config.size("num_hidden_layers"),
        "heads": heads,
        "kv_heads": heads,
        "head_dim": hidden // heads,
        "intermediate_size": config.size("ffn_dim"),
        "max_context": config.size("max_position_embeddings"),
        "norm": "layernorm",
        "norm_eps": 1e-5,
        "activation": _activation(config, "activation_function", "relu", reading),
        "gated_mlp": False,
        "position": "learned",
        "tied_head": config.flag("tie_word_embeddings", True),
        "biases": frozenset((*_QKV, "attn.o", "mlp.up", "mlp.down") if biased else ()),
    }


def _gpt2(config: Fields, reading: _Reading) -> dict[str, Any]:
    hidden, heads = config.size("n_embd"), config.size("n_head")
    _neutral(config, reading, add_cross_attention=False, scale_attn_by_inverse_layer_idx=False)
    scaled = config.flag("scale_attn_weights", True)
    head_dim = hidden // heads
    return {
        "vocab_size": config.size("vocab_size"),
        "hidden_size": hidden,
        "layers": config.size("n_layer"),
        "heads": heads,
        "kv_heads": heads,
        "head_dim": head_dim,
        "intermediate_size": config.size("n_inner", 4 * hidden),
        "max_context": config.size("n_positions"),
        "norm": "layernorm",
        "norm_eps": config.real("layer_norm_epsilon", 1e-5),
        "activation": _activation(config, "activation_function", "gelu_new", reading),
        "gated_mlp": False,
        "position": "learned",
        "tied_head": config.flag("tie_word_embeddings", True),
        "attention_scale": max(head_dim, 1) ** -0.5 if scaled else 1.0,
        "biases": frozenset((*_QKV, "attn.o", "mlp.up", "mlp.down")),
    }


def _like_llama(architecture: Callable[[Fields, _Reading], dict[str, Any]]) -> _Family:
    return _Family(architecture, ("model.", ""), "layers", _LLAMA_NAMES, _place_llama)


FAMILIES: Mapping[str, _Family] = {
    "llama": _like_llama(_llama),
    "mistral": _like_llama(_llama),
    "qwen2": _like_llama(_qwen2),
    "qwen3": _like_llama(_qwen3),
    "smollm3": _like_llama(_smollm3),
    "opt": _Family(_opt, ("model.decoder.", "decoder."), "layers", _OPT_NAMES, _place_opt),
    "gpt2": _Family(_gpt2, ("transformer.", ""), "h", _GPT2_NAMES, _place_gpt2),
}
"""The values of ``model_type`` that are read."""
