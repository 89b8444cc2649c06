"""SmolLM3, as far as every layer has rope."""

from alula.frontend.families.family import MLP, QKV, Family, KeyRule

SMOLLM3 = Family(
    models="SmolLM3 fine-tuned with rope in all layers",
    biases={"attention_bias": (*QKV, "attn.o"), "mlp_bias": MLP},
    rules=(
        KeyRule("no_rope_layers", "true in every layer", lambda turned, config: all(turned or ())),
    ),
    idle=("use_sliding_window", "max_window_layers", "no_rope_layer_interval"),
)
