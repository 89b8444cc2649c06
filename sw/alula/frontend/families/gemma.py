"""Gemma: norms that store their weight less 1, and an embedding times the root of its size.

Gemma 2 adds norms behind attention and MLP, and caps scores and logits.
"""

from alula.frontend.families.family import LLAMA_NAMES, QKV, Family, FamilyNorms, Scales
from alula.frontend.fields import Fields


def _scales(config: Fields) -> Scales:
    return Scales(embedding=config.size("hidden_size") ** 0.5)


GEMMA = Family(
    models="Gemma 1, CodeGemma",
    norm=FamilyNorms(plus_one=True),
    biases={"attention_bias": (*QKV, "attn.o")},
    scales=_scales,
)


def _scales_2(config: Fields) -> Scales:
    attention = config.positive("query_pre_attn_scalar") ** -0.5
    return Scales(embedding=config.size("hidden_size") ** 0.5, attention=attention)


GEMMA2 = Family(
    models="Gemma 2",
    names={
        **LLAMA_NAMES,
        "attn_post_norm": "post_attention_layernorm",
        "mlp_norm": "pre_feedforward_layernorm",
        "mlp_post_norm": "post_feedforward_layernorm",
    },
    norm=FamilyNorms(plus_one=True),
    activation="hidden_activation",
    post_norms=True,
    biases={"attention_bias": (*QKV, "attn.o")},
    scales=_scales_2,
    caps={"attention_cap": "attn_logit_softcapping", "logit_cap": "final_logit_softcapping"},
)
