"""GPT-2: matrices as ``[inputs, outputs]``; q, k and v in one tensor; learned positions."""

from alula.frontend.families.family import ALL, QKV, Family, FamilyNorms, Scales, only
from alula.frontend.fields import Fields


def _scales(config: Fields) -> Scales:
    return Scales() if config.flag("scale_attn_weights") else Scales(attention=1.0)


GPT2 = Family(
    models="GPT-2, DistilGPT2, DialoGPT",
    names={
        "embed": "wte",
        "final_norm": "ln_f",
        "attn_norm": "ln_1",
        **dict.fromkeys(QKV, "attn.c_attn"),
        "attn.o": "attn.c_proj",
        "mlp_norm": "ln_2",
        "mlp.up": "mlp.c_fc",
        "mlp.down": "mlp.c_proj",
    },
    prefixes=("transformer.", ""),
    layers="h",
    norm=FamilyNorms(kind="layernorm", eps="layer_norm_epsilon", stored=("weight", "bias")),
    activation="activation_function",
    inner="n_inner",
    gated_mlp=False,
    positions="wpe",
    biased=ALL,
    transposed=True,
    scales=_scales,
    rules=(only("scale_attn_by_inverse_layer_idx", False),),
    idle=(
        "reorder_and_upcast_attn", "summary_type", "summary_use_proj", "summary_activation",
        "summary_proj_to_labels", "summary_first_dropout",
    ),
)  # fmt: skip
