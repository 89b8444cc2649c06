"""GLM, dense: rope on the first half of a head, neighbours turning together."""

from alula.frontend.families.family import LLAMA_NAMES, QKV, Family

GLM = Family(
    models="GLM-4-9B, GLM-Edge",
    names={**LLAMA_NAMES, **dict.fromkeys(("mlp.gate", "mlp.up"), "mlp.gate_up_proj")},
    pairs="adjacent",
    partial_rope=True,
    biases={"attention_bias": QKV},
)
