"""OPT: learned positions whose table starts with two rows that are not used."""

from alula.frontend.families.family import ALL, Family, FamilyNorms, KeyRule, only

OPT = Family(
    models="OPT, but for 350M",
    names={
        "embed": "embed_tokens",
        "final_norm": "final_layer_norm",
        "attn_norm": "self_attn_layer_norm",
        "attn.q": "self_attn.q_proj",
        "attn.k": "self_attn.k_proj",
        "attn.v": "self_attn.v_proj",
        "attn.o": "self_attn.out_proj",
        "mlp_norm": "final_layer_norm",
        "mlp.up": "fc1",
        "mlp.down": "fc2",
    },
    prefixes=("model.decoder.", "decoder."),
    norm=FamilyNorms(kind="layernorm", eps=1e-5, stored=("weight", "bias")),
    activation="activation_function",
    inner="ffn_dim",
    gated_mlp=False,
    positions="embed_positions",
    position_offset=2,
    biases={"enable_bias": ALL},
    rules=(
        only("do_layer_norm_before", True),
        only("_remove_final_layer_norm", False),
        only("layer_norm_elementwise_affine", True),
        KeyRule(
            "word_embed_proj_dim",
            "hidden_size",
            lambda size, config: size == config.size("hidden_size"),
        ),
    ),
)
