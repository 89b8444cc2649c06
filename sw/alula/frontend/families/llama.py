"""Llama, and the families that compute what it computes under a name of their own."""

from alula.frontend.families.family import MLP, QKV, Family, only

_BIASES = {"attention_bias": (*QKV, "attn.o"), "mlp_bias": MLP}

LLAMA = Family(
    models="Llama 2, Llama 3, SmolLM, SmolLM2, TinyLlama, Yi, Vicuna, DeepSeek LLM",
    biases=_BIASES,
)
INTERNLM3 = Family(models="InternLM3", biases=_BIASES)
IQUESTCODER = Family(models="IQuest-Coder", biases=_BIASES, rules=(only("clip_qkv", None),))
CWM = Family(models="Code World Model", biases={"mlp_bias": MLP})
SEED_OSS = Family(
    models="Seed-OSS",
    biases={"attention_bias": QKV, "attention_out_bias": ("attn.o",), "mlp_bias": MLP},
)
