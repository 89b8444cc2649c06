"""Phi-3 and Phi-4: q, k and v in one tensor, gate and up in another, rope on a part of a head."""

from alula.frontend.families.family import LLAMA_NAMES, QKV, Family

_NAMES = {
    **LLAMA_NAMES,
    **dict.fromkeys(QKV, "self_attn.qkv_proj"),
    **dict.fromkeys(("mlp.gate", "mlp.up"), "mlp.gate_up_proj"),
}

PHI3 = Family(
    models="Phi-3, Phi-3.5, Phi-4, Phi-4-mini",
    names=_NAMES,
    partial_rope=True,
    idle=("original_max_position_embeddings",),
)
"""transformers moves ``original_max_position_embeddings`` into ``rope_parameters``."""
