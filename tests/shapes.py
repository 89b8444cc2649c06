"""Architectures that tests share: the shapes of real and of tiny models, without weights."""

from dataclasses import replace

from alula.ir import Architecture
from alula.ir.shapes import SHAPES, RandomCheckpoint

__all__ = ["FAMILIES", "GPT2", "LLAMA2_7B", "SMOLLM2", "UNEVEN", "RandomCheckpoint", "sized"]

SMOLLM2, LLAMA2_7B, GPT2 = (SHAPES[name] for name in ("smollm2-135m", "llama2-7b", "gpt2"))

_SMALL = replace(
    SMOLLM2,
    vocab_size=160,
    hidden_size=64,
    layers=2,
    heads=4,
    kv_heads=2,
    head_dim=32,
    intermediate_size=96,
    max_context=96,
    rope_inverse_frequencies=tuple(10000.0 ** (-i / 16) for i in range(16)),
    attention_scale=32**-0.5,
)
_SMALL_GPT2 = replace(
    GPT2,
    vocab_size=170,
    hidden_size=64,
    layers=2,
    heads=2,
    kv_heads=2,
    head_dim=32,
    intermediate_size=128,
    max_context=96,
    attention_scale=32**-0.5,
)

FAMILIES = {
    "llama": replace(_SMALL, tied_head=False),
    "smollm": _SMALL,
    "multi-query": replace(_SMALL, heads=5, kv_heads=1),
    "qwen2": replace(_SMALL, biases=frozenset(("attn.q", "attn.k", "attn.v"))),
    "qwen3": replace(_SMALL, qk_norm=True, head_dim=64, rope_inverse_frequencies=(0.5,) * 32),
    "gpt2": _SMALL_GPT2,
    "opt": replace(_SMALL_GPT2, activation="relu", tied_head=False),
    "post-norms": replace(_SMALL, post_norms=True, activation="gelu_tanh"),
    "capped": replace(_SMALL, attention_cap=0.5, logit_cap=2.0),
    "post-layernorms": replace(_SMALL_GPT2, post_norms=True),
    "erf-gelu": replace(_SMALL_GPT2, activation="gelu"),
}
"""A small shape for each thing that sets families apart."""


def sized(shape: Architecture, hidden: int, head_dim: int, intermediate: int) -> Architecture:
    """A shape with other sizes, scale and frequencies as they follow from them."""
    rope = tuple(100.0 ** (-i / head_dim) for i in range(head_dim // 2))
    return replace(
        shape,
        hidden_size=hidden,
        head_dim=head_dim,
        intermediate_size=intermediate,
        attention_scale=head_dim**-0.5,
        rope_inverse_frequencies=rope if shape.position == "rope" else None,
    )


UNEVEN = {
    "uneven": sized(FAMILIES["llama"], 72, 20, 100),
    "uneven qwen3": replace(
        sized(FAMILIES["qwen3"], 50, 36, 33), biases=frozenset(("attn.q", "attn.v", "mlp.down"))
    ),
    "uneven gpt2": sized(FAMILIES["gpt2"], 70, 25, 90),
    "uneven layernorm": sized(replace(FAMILIES["smollm"], norm="layernorm"), 36, 34, 65),
}
"""Sizes that are not whole groups of 32."""
