"""StableLM: LayerNorm, and rope on the first part of a head."""

from alula.frontend.families.family import QKV, Family, FamilyNorms, only

STABLELM = Family(
    models="StableLM 3B, StableLM 2 1.6B, StableLM Zephyr",
    norm=FamilyNorms(kind="layernorm", eps="layer_norm_eps", stored=("weight", "bias")),
    partial_rope=True,
    biases={"use_qkv_bias": QKV},
    rules=(only("qk_layernorm", False), only("use_parallel_residual", False)),
)
