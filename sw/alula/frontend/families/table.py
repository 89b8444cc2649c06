"""The table of families in the docs."""

from collections.abc import Iterable

from alula.frontend.families import FAMILIES, Family
from alula.frontend.families.family import COMMON_RULES, KeyRule
from alula.frontend.families.reading import ACTIVATIONS
from alula.frontend.families.refused import REFUSED
from alula.frontend.families.rotation import KINDS

_HEADER = """# Models that are read

<!-- Generated from sw/alula/frontend/families by tools/generate.py; do not edit. -->

A Hugging Face folder, or a transformers model in memory, is read by its `model_type`. The
configuration is read by transformers' own class, so that its defaults and conversions hold; the
tensors are the file's. What is read computes what transformers computes; what is not, is refused.

| `model_type` | models | norm | MLP | positions | refused unless |
|---|---|---|---|---|---|
"""

_FOOTER = """
For every family:

- `rope_type` is one of {kinds}. LongRoPE holds up to the original context, dynamic scaling up to
  `max_position_embeddings`: the context is limited to that, and to a sliding window.
- The activation is one of {activations}.
- Weights are F64, F32, F16 or BF16 in safetensors. A quantised model is read as GGUF.
- Refused unless: {common}.
- A key that transformers' class declares and Alula does not know is refused unless it is at the
  default.
- A configuration that is read for the first time is compared with the model that transformers
  builds of it, cut and with random weights: equal logits, or it is refused.
- A tensor that nothing reads is refused, or named in a note if nothing depends on it.
- A tied head is the embedding; if the file has both and they differ, both are used, as transformers
  does.

Well known and refused, each for what it has: {refused}.

Everything else that maps token ids to logits can be given as a module, `package.module:factory`:
its shape is recognised by what it computes.
"""


def table_text() -> str:
    """The page that docs/reference/models.md is."""
    rows = (_row(name, family) for name, family in FAMILIES.items())
    footer = _FOOTER.format(
        kinds=_code(KINDS),
        activations=_code(ACTIVATIONS),
        refused=_refused(),
        common=", ".join(_rule(rule) for rule in COMMON_RULES),
    )
    return _HEADER + "".join(rows) + footer


def _row(name: str, family: Family) -> str:
    norm = "RMSNorm" if family.norm.kind == "rmsnorm" else "LayerNorm"
    if not family.norm.stored:
        norm += ", no weights"
    if family.norm.plus_one:
        norm += ", 1 + weight"
    if family.post_norms:
        norm += ", also behind attention and MLP"
    positions = "learned"
    if family.positions is None:
        positions = "rope, neighbours" if family.pairs == "adjacent" else "rope"
        if family.partial_rope:
            positions += ", also partial"
    mlp = "gated" if family.gated_mlp else "plain"
    rules = ", ".join(_rule(rule) for rule in family.rules)
    return f"| `{name}` | {family.models} | {norm} | {mlp} | {positions} | {rules} |\n"


def _refused() -> str:
    reasons = dict.fromkeys(REFUSED.values())
    return "; ".join(
        f"{reason} ({_code([name for name, why in REFUSED.items() if why == reason])})"
        for reason in reasons
    )


def _rule(rule: KeyRule) -> str:
    return f"`{rule.key}` is {rule.limit}"


def _code(names: Iterable[str]) -> str:
    return ", ".join(f"`{name}`" for name in names)
