"""StarCoder2: LayerNorm, and an MLP without a gate."""

from alula.frontend.families.family import ALL, LLAMA_NAMES, Family, FamilyNorms

STARCODER2 = Family(
    models="StarCoder2",
    names={**LLAMA_NAMES, "mlp.up": "mlp.c_fc", "mlp.down": "mlp.c_proj"},
    norm=FamilyNorms(kind="layernorm", eps="norm_epsilon", stored=("weight", "bias")),
    gated_mlp=False,
    biases={"use_bias": ALL},
)
