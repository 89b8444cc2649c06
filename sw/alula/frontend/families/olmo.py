"""OLMo 1: LayerNorm without weights."""

from alula.frontend.families.family import QKV, Family, FamilyNorms, only

OLMO = Family(
    models="OLMo 1B, OLMo 7B of July 2024",
    norm=FamilyNorms(kind="layernorm", eps=1e-5, stored=()),
    biases={"attention_bias": (*QKV, "attn.o")},
    rules=(only("clip_qkv", None),),
)
