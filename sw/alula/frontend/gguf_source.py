"""GGUF files of the Llama, Qwen and GPT-2 families."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from alula.frontend import rope
from alula.frontend.binding import Shape, TensorSource, bind, half_split, rows, same, surplus
from alula.frontend.checkpoint import Checkpoint
from alula.frontend.content import file_digests
from alula.frontend.fields import Fields
from alula.frontend.gguf_file import GgufFile
from alula.frontend.gguf_values import readable
from alula.frontend.refusal import FrontendError, Refusal, UnsupportedModel
from alula.ir.architecture import PROJECTIONS, Architecture
from alula.progress import Progress, silent


@dataclass(frozen=True)
class _Family:
    """What llama.cpp's code knows of an architecture and the file does not say."""

    norm: str = "rmsnorm"
    activation: str = "silu"
    gated_mlp: bool = True
    position: str = "rope"
    permuted: bool = False
    fused_qkv: bool = False
    qk_norm: bool = False
    rope_factors: bool = False
    biases: tuple[str, ...] = ("attn.q", "attn.k", "attn.v")
    """Projections that may have one. A file with another bias is none of the family."""


FAMILIES: Mapping[str, _Family] = {
    "llama": _Family(permuted=True, rope_factors=True, biases=PROJECTIONS),
    "qwen2": _Family(),
    "qwen3": _Family(qk_norm=True),
    "gpt2": _Family(
        norm="layernorm",
        activation="gelu_tanh",
        gated_mlp=False,
        position="learned",
        fused_qkv=True,
        biases=PROJECTIONS,
    ),
}
"""The values of ``general.architecture`` that are read."""

_NAMES = {
    "embed.weight": "token_embd.weight",
    "embed.position": "position_embd.weight",
    "final_norm": "output_norm",
    "lm_head.weight": "output.weight",
    "attn_norm": "attn_norm",
    "attn.q": "attn_q",
    "attn.k": "attn_k",
    "attn.v": "attn_v",
    "attn.o": "attn_output",
    "attn.q_norm": "attn_q_norm",
    "attn.k_norm": "attn_k_norm",
    "mlp_norm": "ffn_norm",
    "mlp.gate": "ffn_gate",
    "mlp.up": "ffn_up",
    "mlp.down": "ffn_down",
}

_NEUTRAL = {
    "logit_scale": 1.0,
    "residual_scale": 1.0,
    "embedding_scale": 1.0,
    "attn_logit_softcapping": 0.0,
    "final_logit_softcapping": 0.0,
    "expert_count": 0.0,
    "expert_used_count": 0.0,
    "expert_group_count": 0.0,
    "nextn_predict_layers": 0.0,
    "rope.scaling.attn_factor": 1.0,
    "rope.scaling.yarn_ext_factor": 0.0,
    "rope.scaling.yarn_attn_factor": 1.0,
}
"""What would change a result, by the value at which it changes none."""

_ROPE_FACTORS = "rope_freqs.weight"

_MAX_FREQUENCY = 100.0
"""Radians a position. Beyond, float32 does not tell one position from the next well enough."""


def load_gguf(path: Path, progress: Progress = silent, *, digest: str | None = None) -> Checkpoint:
    """A GGUF file as a Checkpoint. Weights are hashed, and stay on disk until asked for.

    Args:
        path: The file.
        progress: Told how much of a large file is hashed.
        digest: The file's SHA-256 in hexadecimal, where whoever calls has just computed it.

    Raises:
        FrontendError: The file is unreadable, truncated, corrupt, incomplete, or contradicts
            itself.
        UnsupportedModel: The model or a weight type is not supported.
    """
    file = GgufFile(path)
    name = Fields(file.metadata, path).text("general.architecture")
    if name not in FAMILIES:
        raise UnsupportedModel(
            path,
            [Refusal("model", "unknown architecture", ", ".join(FAMILIES), name, "llama")],
        )
    family = FAMILIES[name]
    config = Fields(file.metadata, path, prefix=f"{name}.")
    refusals = _refusals(config, family, file)
    if refusals:
        raise UnsupportedModel(path, refusals)
    notes: list[str] = []
    try:
        architecture = _architecture(name, family, config, file, notes)
    except FrontendError:
        raise
    except ValueError as error:
        raise FrontendError(f"{error} ({path})") from error
    table = {tensor.name: tensor.shape for tensor in file.tensors.values()}

    def place(canonical: str, shape: Shape) -> TensorSource:
        return _place(canonical, shape, family, architecture)

    pieces = bind(architecture, place, table, path)
    factors = _ROPE_FACTORS if family.rope_factors else None
    unused = surplus(pieces, table, name, lambda tensor: tensor == factors)
    if unused:
        raise UnsupportedModel(path, unused)

    def reader(piece: TensorSource) -> Any:
        return lambda: piece.read(file.read)

    return Checkpoint(
        architecture,
        {canonical: reader(piece) for canonical, piece in pieces.items()},
        source=path,
        content_id=digest or file_digests([path], progress)[0],
        tokenizer_source=path if "tokenizer.ggml.tokens" in file.metadata else None,
        notes=tuple(notes),
    )


def _refusals(config: Fields, family: _Family, file: GgufFile) -> list[Refusal]:
    found: list[Refusal] = []
    for key in ("attention.head_count", "attention.head_count_kv", "feed_forward_length"):
        value = config.values.get(config.prefix + key)
        if not isinstance(value, list):
            continue
        if len(value) != (layers := config.size("block_count")):
            remedy = "one number, or one for each layer"
            found.append(Refusal("model", f"{key} by layer", f"{layers}", f"{len(value)}", remedy))
        elif len(set(value)) != 1:
            found.append(
                Refusal("model", f"{key} by layer", "one", f"{len(set(value))}", "equal layers")
            )
    if family.position == "rope":
        head_dim = _head_dim(config)
        turned = config.size("rope.dimension_count", head_dim)
        if turned != head_dim:
            found.append(
                Refusal(
                    "attn", "partial rope", f"all {head_dim} of a head", str(turned), "full rope"
                )
            )
        if config.size("attention.value_length", head_dim) != head_dim:
            actual = str(config.size("attention.value_length"))
            found.append(Refusal("attn", "value head size", str(head_dim), actual, "equal sizes"))
    scaling = config.text("rope.scaling.type", "linear")
    if scaling not in ("none", "linear"):
        found.append(Refusal("attn", "rope scaling", "none, linear", scaling, "linear"))
    for key, neutral in _NEUTRAL.items():
        value = config.real(key, neutral)
        if value != neutral:
            found.append(Refusal("model", key, f"{neutral:g}", f"{value:g}", "a model without it"))
    if not config.flag("attention.causal", True):
        found.append(Refusal("attn", "attention mask", "causal", "bidirectional", "causal"))
    parts = file.metadata.get("split.count", 1)
    if parts not in (0, 1):
        found.append(
            Refusal("model", "split file", "1 part", str(parts), "the parts merged into one")
        )
    kinds = sorted(
        {tensor.kind.name for tensor in file.tensors.values() if not readable(tensor.kind)}
    )
    if kinds:
        found.append(
            Refusal(
                "model", "weight type", "float and block types", ", ".join(kinds), "Q8_0 or Q4_1"
            )
        )
    return found


def _one(config: Fields, key: str, default: int | None = None) -> int:
    values = config.values.get(config.prefix + key)
    if isinstance(values, list) and values:
        return Fields({key: values[0]}, config.where).size(key)
    return config.size(key) if default is None else config.size(key, default)


def _head_dim(config: Fields) -> int:
    return config.size(
        "attention.key_length",
        config.size("embedding_length") // _one(config, "attention.head_count"),
    )


def _architecture(
    name: str, family: _Family, config: Fields, file: GgufFile, notes: list[str]
) -> Architecture:
    embedding = file.tensors.get("token_embd.weight")
    if embedding is None:
        raise FrontendError(
            f"the tensors must be complete, not without token_embd.weight ({file.path})"
        )
    tokens = file.metadata.get("tokenizer.ggml.tokens")
    if isinstance(tokens, list) and len(tokens) != embedding.shape[0]:
        raise FrontendError(
            f"token_embd.weight must have a row for each of {len(tokens)} tokens, "
            f"not {embedding.shape[0]} rows ({file.path})"
        )
    context = config.size("context_length")
    if family.position == "rope" and "attention.sliding_window" in config:
        window = config.size("attention.sliding_window")
        if window < context:
            notes.append(f"context limited from {context} to the sliding window of {window}")
            context = window
    head_dim = _head_dim(config)
    # Before anything of that size is made; the tensors' own shapes are compared later.
    largest = max(size for tensor in file.tensors.values() for size in tensor.shape)
    if head_dim > largest:
        raise FrontendError(
            f"the head size must be at most {largest}, the largest size of a tensor, not "
            f"{head_dim} ({file.path})"
        )
    heads = _one(config, "attention.head_count")
    eps = "layer_norm_epsilon" if family.norm == "layernorm" else "layer_norm_rms_epsilon"
    return Architecture(
        family=name,
        vocab_size=embedding.shape[0],
        hidden_size=config.size("embedding_length"),
        layers=config.size("block_count"),
        heads=heads,
        kv_heads=_one(config, "attention.head_count_kv", heads),
        head_dim=head_dim,
        intermediate_size=_one(config, "feed_forward_length"),
        max_context=context,
        norm=family.norm,
        norm_eps=config.real(f"attention.{eps}"),
        activation=family.activation,
        gated_mlp=family.gated_mlp,
        position=family.position,
        rope_inverse_frequencies=(
            _frequencies(config, file, head_dim) if family.position == "rope" else None
        ),
        qk_norm=family.qk_norm,
        tied_head="output.weight" not in file.tensors,
        biases=_biases(family, file),
    )


def _frequencies(config: Fields, file: GgufFile, head_dim: int) -> tuple[float, ...]:
    frequencies = _turns(config, file, head_dim)
    if not all(0 < frequency <= _MAX_FREQUENCY for frequency in frequencies):
        raise FrontendError(
            f"{config.prefix}rope.freq_base, rope.scaling.factor and {_ROPE_FACTORS} must turn by "
            f"0 to {_MAX_FREQUENCY:g} radians a position, not {max(frequencies):.3g} ({file.path})"
        )
    return frequencies


def _turns(config: Fields, file: GgufFile, head_dim: int) -> tuple[float, ...]:
    base = config.positive("rope.freq_base", 10000.0)
    if 1 / base > _MAX_FREQUENCY**2:
        return (1 / base,)  # too far whatever follows, and a power of it may be no number
    frequencies = rope.inverse_frequencies(head_dim, base)
    if config.text("rope.scaling.type", "linear") == "linear":
        factor = config.real("rope.scaling.factor", config.real("rope.scale_linear", 0.0))
        frequencies = rope.linear(frequencies, factor or 1.0)
    if _ROPE_FACTORS not in file.tensors:
        return frequencies
    factors = file.read(_ROPE_FACTORS)
    if factors.shape != (head_dim // 2,) or not (np.isfinite(factors) & (factors > 0)).all():
        raise FrontendError(
            f"{_ROPE_FACTORS} must be {head_dim // 2} positive numbers, not so ({file.path})"
        )
    return tuple(
        frequency / float(factor) for frequency, factor in zip(frequencies, factors, strict=True)
    )


def _biases(family: _Family, file: GgufFile) -> frozenset[str]:
    def present(projection: str) -> bool:
        fused = family.fused_qkv and projection in ("attn.q", "attn.k", "attn.v")
        stored = "attn_qkv" if fused else _NAMES[projection]
        return f"blk.0.{stored}.bias" in file.tensors

    return frozenset(name for name in family.biases if present(name))


def _place(name: str, shape: Shape, family: _Family, architecture: Architecture) -> TensorSource:
    if name in _NAMES:
        return same(_NAMES[name], shape)
    module, part = name.rsplit(".", 1)
    if module in _NAMES:
        return same(f"{_NAMES[module]}.{part}", shape)
    _, layer, projection = module.split(".", 2)
    if family.fused_qkv and projection in ("attn.q", "attn.k", "attn.v"):
        sizes = (architecture.query_size, architecture.kv_size, architecture.kv_size)
        index = ("attn.q", "attn.k", "attn.v").index(projection)
        start = sum(sizes[:index])
        fused = same(f"blk.{layer}.attn_qkv.{part}", (sum(sizes), *shape[1:]))
        return rows(fused, start, start + sizes[index])
    piece = same(f"blk.{layer}.{_NAMES[projection]}.{part}", shape)
    if family.permuted and projection == "attn.q":
        return half_split(piece, architecture.heads)
    if family.permuted and projection == "attn.k":
        return half_split(piece, architecture.kv_heads)
    return piece
