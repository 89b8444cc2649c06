"""Gemma 1: norms that store their weight less 1, and an embedding times the root of its size."""

from alula.frontend.families.family import QKV, Family, Norm, Scales
from alula.frontend.fields import Fields


def _scales(config: Fields) -> Scales:
    return Scales(embedding=config.size("hidden_size") ** 0.5)


GEMMA = Family(
    models="Gemma 1, CodeGemma",
    norm=Norm(plus_one=True),
    biases={"attention_bias": (*QKV, "attn.o")},
    scales=_scales,
)
