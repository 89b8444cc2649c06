"""Qwen2 and Qwen3, dense."""

from alula.frontend.families.family import QKV, Family

_IDLE = ("use_sliding_window", "max_window_layers")  # transformers makes layer_types of them

QWEN2 = Family(models="Qwen1.5, Qwen2, Qwen2.5, DeepSeek-R1-Distill-Qwen", biased=QKV, idle=_IDLE)
QWEN3 = Family(
    models="Qwen3", qk_norm=True, biases={"attention_bias": (*QKV, "attn.o")}, idle=_IDLE
)
