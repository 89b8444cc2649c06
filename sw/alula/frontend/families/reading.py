"""A configuration of a family as an `Architecture`, and what its weights must be changed by."""

from dataclasses import dataclass
from typing import Any

from alula.frontend.configuration import Attributes
from alula.frontend.families.family import COMMON_RULES, IDLE, Family, Scales
from alula.frontend.families.rotation import FamilyRotation, read_rotation
from alula.frontend.fields import Fields
from alula.frontend.refusal import FrontendError, Refusal, UnsupportedModel
from alula.ir.architecture import Architecture

ACTIVATIONS = {
    "silu": "silu",
    "swish": "silu",
    "gelu": "gelu",
    "gelu_python": "gelu",
    "gelu_new": "gelu_tanh",
    "gelu_pytorch_tanh": "gelu_tanh",
    "gelu_python_tanh": "gelu_tanh",
    "gelu_accurate": "gelu_tanh",
    "gelu_fast": "gelu_tanh",
    "relu": "relu",
}
"""transformers' names of the activation functions that are read."""


@dataclass(frozen=True)
class Reading:
    """What a configuration says.

    Attributes:
        architecture: The shape.
        rotation: The rope; None with learned positions.
        scales: Factors that go into the weights.
        notes: What was narrowed, a sentence each.
    """

    architecture: Architecture
    rotation: FamilyRotation | None
    scales: Scales
    notes: tuple[str, ...]


def read(family: Family, config: Any, tied: bool, largest: int, where: object) -> Reading:
    """Reads a transformers configuration.

    Args:
        family: How to.
        config: An instance of transformers' class for the family.
        tied: Whether the tensors agree that the head is the embedding.
        largest: The largest size of any tensor: no size may be larger.
        where: The source, for messages.

    Raises:
        FrontendError: A value is missing, of another type, or contradicts another.
        UnsupportedModel: The configuration asks for what is not supported.
    """
    attributes = Attributes(config)
    fields = Fields(attributes, where)
    refusals = _broken_rules(family, fields)
    values = _sizes(family, fields, largest)
    notes: list[str] = []
    context = _context(fields, notes)
    rotation = None
    if family.positions is None:
        rotation = read_rotation(family, fields, values["head_dim"], refusals)
        if rotation.context < context:
            notes.append(
                f"context limited from {context} to the {rotation.context} tokens of the original"
            )
            context = rotation.context
    scales = family.scales(fields)
    values |= {
        "max_context": context,
        "norm": family.norm.kind,
        "norm_eps": _eps(family, fields),
        "activation": _activation(family, fields, refusals),
        "gated_mlp": family.gated_mlp,
        "position": "learned" if rotation is None else "rope",
        "rope_inverse_frequencies": None if rotation is None else rotation.frequencies,
        "qk_norm": family.qk_norm,
        "post_norms": family.post_norms,
        "tied_head": fields.flag("tie_word_embeddings") and tied,
        "attention_scale": _attention_scale(values["head_dim"], scales, rotation),
        "biases": _biases(family, fields),
        **{cap: fields.positive(key) for cap, key in family.caps.items() if key in fields},
    }
    for key, default, value in attributes.unread(IDLE | {*family.idle}):
        refusals.append(Refusal("model", key, _shown(default), _shown(value), "the default"))
    if refusals:
        raise UnsupportedModel(where, refusals)
    try:
        architecture = Architecture(family=config.model_type, **values)
    except ValueError as error:
        raise FrontendError(f"{error} ({where})") from error
    return Reading(architecture, rotation, scales, tuple(notes))


def _broken_rules(family: Family, config: Fields) -> list[Refusal]:
    found = []
    if "quantization_config" in config:
        method = "unnamed"
        if isinstance(config.values["quantization_config"], dict):
            method = config.table("quantization_config").text("quant_method", method)
        found.append(
            Refusal("model", "quantised weights", "float", method, "the float model, or GGUF")
        )
    for rule in (*COMMON_RULES, *family.rules):
        value = config.values.get(rule.key)
        if not rule.holds(value, config):
            found.append(Refusal("model", rule.key, rule.limit, _shown(value), rule.limit))
    return found


def _sizes(family: Family, config: Fields, largest: int) -> dict[str, Any]:
    hidden, heads = config.size("hidden_size"), config.size("num_attention_heads")
    head_dim = max(hidden // heads, 1)
    if family.positions is None:
        head_dim = config.size("head_dim", head_dim)
    sizes: dict[str, Any] = {
        "vocab_size": config.size("vocab_size"),
        "hidden_size": hidden,
        "layers": config.size("num_hidden_layers"),
        "heads": heads,
        "kv_heads": config.size("num_key_value_heads", heads),
        "head_dim": head_dim,
        "intermediate_size": config.size(family.inner, 4 * hidden),
    }
    for name, size in sizes.items():
        if name != "layers" and size > largest:
            raise FrontendError(
                f"{name} must be at most {largest}, the largest size of a tensor, not {size} "
                f"({config.where})"
            )
    return sizes


def _context(config: Fields, notes: list[str]) -> int:
    """Positions the model is exact for with full attention: no more than its sliding window."""
    context = config.size("max_position_embeddings")
    kinds = config.items("layer_types")
    windowed = "sliding_attention" in kinds if kinds else True
    window = config.size("sliding_window", context)
    if windowed and window < context:
        notes.append(f"context limited from {context} to the sliding window of {window}")
        return window
    return context


def _eps(family: Family, config: Fields) -> float:
    eps = family.norm.eps
    return config.real(eps) if isinstance(eps, str) else eps


def _activation(family: Family, config: Fields, refusals: list[Refusal]) -> str:
    name = config.text(family.activation)
    if name not in ACTIVATIONS:
        limit = ", ".join(dict.fromkeys(ACTIVATIONS.values()))
        refusals.append(Refusal("mlp", "activation", limit, name, "silu or gelu"))
    return ACTIVATIONS.get(name, "silu")


def _attention_scale(head_dim: int, scales: Scales, rotation: FamilyRotation | None) -> float:
    """A gain on whole queries and keys belongs to the scale of their products."""
    scale = head_dim**-0.5 if scales.attention is None else scales.attention
    if rotation is None or rotation.rotated < head_dim:
        return scale
    return scale * rotation.gain**2


def _biases(family: Family, config: Fields) -> frozenset[str]:
    biases = set(family.biased)
    for key, projections in family.biases.items():
        if config.flag(key):
            biases |= {*projections}
    return frozenset(biases if family.gated_mlp else biases - {"mlp.gate"})


def _shown(value: Any) -> str:
    text = "absent" if value is None else str(value)
    return text if len(text) <= 60 else text[:57] + "..."
