"""Granite: four multipliers."""

from alula.frontend.families.family import MLP, QKV, Family, Scales
from alula.frontend.fields import Fields


def _scales(config: Fields) -> Scales:
    return Scales(
        embedding=config.positive("embedding_multiplier"),
        branches=config.positive("residual_multiplier"),
        logits=1 / config.positive("logits_scaling"),
        attention=config.positive("attention_multiplier"),
    )


GRANITE = Family(
    models="Granite 3, dense",
    biases={"attention_bias": (*QKV, "attn.o"), "mlp_bias": MLP},
    scales=_scales,
)
