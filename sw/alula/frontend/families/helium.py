"""Helium and ERNIE 4.5, dense: rope turns neighbours."""

from alula.frontend.families.family import ALL, MLP, QKV, Family

HELIUM = Family(
    models="Helium 1",
    pairs="adjacent",
    biases={"attention_bias": QKV, "mlp_bias": MLP},
)
ERNIE4_5 = Family(models="ERNIE 4.5 0.3B", pairs="adjacent", biases={"use_bias": ALL})
