"""What a family of Hugging Face models is: how it stores and computes what an `Architecture` says.

A family is plain data. `reading` turns it and a configuration into an `Architecture`, `placing`
turns it and a table of tensors into the place of each canonical tensor.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from alula.frontend.fields import Fields
from alula.ir.architecture import PROJECTIONS

QKV = ("attn.q", "attn.k", "attn.v")
MLP = ("mlp.gate", "mlp.up", "mlp.down")
ALL = PROJECTIONS

LLAMA_NAMES: Mapping[str, str] = {
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


@dataclass(frozen=True, kw_only=True)
class FamilyNorms:
    """The norms of a family.

    Args:
        kind: As `Architecture.norm`.
        eps: The key of the configuration that gives it, or the number itself.
        stored: The parts that the file holds; a weight that is absent is 1, a bias 0.
        plus_one: The weight is stored less 1.
    """

    kind: str = "rmsnorm"
    eps: str | float = "rms_norm_eps"
    stored: tuple[str, ...] = ("weight",)
    plus_one: bool = False


@dataclass(frozen=True, kw_only=True)
class Scales:
    """Factors in the forward pass that go into the weights, each above zero.

    Args:
        embedding: On the embedding of a token, not on a head that is tied to it.
        branches: On the output of attention and MLP, before it joins the residual stream.
        logits: On the logits.
        attention: On the query-key products; ``head_dim ** -0.5`` if None.
    """

    embedding: float = 1.0
    branches: float = 1.0
    logits: float = 1.0
    attention: float | None = None


@dataclass(frozen=True)
class KeyRule:
    """A key of the configuration that is read at some values and refused at others.

    Args:
        key: The key.
        limit: What is read, in words.
        holds: Whether a value is; the second argument is the whole configuration.
    """

    key: str
    limit: str
    holds: Callable[[Any, Fields], bool]


def only(key: str, *values: object) -> KeyRule:
    """A key that is read at these values alone, the usual one first; absent is None."""

    def holds(value: Any, config: Fields) -> bool:
        return any(type(value) is type(one) and value == one for one in values)

    limit = " or ".join("absent" if value is None else str(value).lower() for value in values)
    return KeyRule(key, limit, holds)


def _unscaled(config: Fields) -> Scales:
    return Scales()


@dataclass(frozen=True, kw_only=True)
class Family:
    """One value of ``model_type``. The defaults are those of Llama.

    Args:
        models: Well-known models of the family.
        names: Canonical module to the module in the file, without prefix and layer. Modules of one
            name lie in one tensor, their rows in the order of `PROJECTIONS`.
        prefixes: Prefixes of the names, if the file was saved from a model with a head
            and if it was saved without.
        layers: The list of layers.
        norm: The norms.
        activation: The key of the activation function.
        inner: The key of the MLP's size; null means four times the hidden size.
        gated_mlp: As `Architecture.gated_mlp`.
        positions: The table of learned positions, without prefix; None means rope.
        position_offset: The row of position 0 in that table.
        pairs: Which elements of a head turn together: ``"half"`` (i and i + r/2, where r elements
            are rotated) or ``"adjacent"`` (2i and 2i + 1).
        partial_rope: ``partial_rotary_factor`` may be below 1.
        qk_norm, post_norms: As those of `Architecture`.
        biases: Flags of the configuration that give projections a bias.
        biased: Projections with a bias in every model.
        transposed: Matrices of layers are stored as ``[inputs, outputs]``.
        scales: Factors, out of the configuration.
        caps: Keys of `Architecture`'s caps; null means none.
        rules: What is refused, beyond `COMMON_RULES`.
        idle: Keys that no logits depend on, beyond `IDLE`.
    """

    models: str
    names: Mapping[str, str] = field(default_factory=lambda: LLAMA_NAMES)
    prefixes: tuple[str, ...] = ("model.", "")
    layers: str = "layers"
    norm: FamilyNorms = FamilyNorms()
    activation: str = "hidden_act"
    inner: str = "intermediate_size"
    gated_mlp: bool = True
    positions: str | None = None
    position_offset: int = 0
    pairs: str = "half"
    partial_rope: bool = False
    qk_norm: bool = False
    post_norms: bool = False
    biases: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    biased: tuple[str, ...] = ()
    transposed: bool = False
    scales: Callable[[Fields], Scales] = _unscaled
    caps: Mapping[str, str] = field(default_factory=dict)
    rules: tuple[KeyRule, ...] = ()
    idle: tuple[str, ...] = ()


COMMON_RULES = (
    only("is_causal", None, True),
    only("use_bidirectional_attention", None, False),
    only("attention_chunk_size", None),
    only("is_heterogeneous", False),
    only("num_kv_shared_layers", None, 0),
    only("kv_sharing_modes", None),
    only("is_encoder_decoder", False),
    only("add_cross_attention", None, False),
    only("fusion_config", None),
)
"""What every family refuses: transformers reads these keys in code that all families share."""

IDLE = frozenset(
    {
        "transformers_version", "architectures", "output_hidden_states", "return_dict", "dtype",
        "chunk_size_feed_forward", "id2label", "label2id", "problem_type", "use_cache",
        "tie_last_hidden_states", "pad_token_id", "bos_token_id", "eos_token_id", "sep_token_id",
        "initializer_range", "init_std", "pretraining_tp", "attention_dropout", "hidden_dropout",
        "residual_dropout", "embedding_dropout", "resid_pdrop", "embd_pdrop", "attn_pdrop",
        "dropout", "layerdrop",
        "transformers_weights",  # which files are read: `SafetensorsFiles` takes them
    }
)  # fmt: skip
"""Keys of a configuration that no logits depend on."""
