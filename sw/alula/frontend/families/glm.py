"""GLM, dense: rope on the first half of a head, neighbours turning together.

GLM-4-0414 adds norms behind attention and MLP.
"""

from dataclasses import replace

from alula.frontend.families.family import LLAMA_NAMES, QKV, Family

GLM = Family(
    models="GLM-4-9B, GLM-Edge",
    names={**LLAMA_NAMES, **dict.fromkeys(("mlp.gate", "mlp.up"), "mlp.gate_up_proj")},
    pairs="adjacent",
    partial_rope=True,
    biases={"attention_bias": QKV},
)

GLM4 = replace(
    GLM,
    models="GLM-4-0414",
    names={
        **GLM.names,
        "attn_post_norm": "post_self_attn_layernorm",
        "mlp_post_norm": "post_mlp_layernorm",
    },
    post_norms=True,
)
