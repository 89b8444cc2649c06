"""The families of Hugging Face models that are read, a file for each group.

A family joins by one entry of `FAMILIES`: its data is all there is to it. What `reading` and
`placing` make of it is compared with transformers for every key that transformers reads
(tests/frontend/test_families.py).
"""

from collections.abc import Mapping
from hashlib import sha256

from alula.frontend.families.family import Family
from alula.frontend.families.gemma import GEMMA, GEMMA2
from alula.frontend.families.glm import GLM, GLM4
from alula.frontend.families.gpt2 import GPT2
from alula.frontend.families.granite import GRANITE
from alula.frontend.families.helium import ERNIE4_5, HELIUM
from alula.frontend.families.llama import CWM, INTERNLM3, IQUESTCODER, LLAMA, SEED_OSS
from alula.frontend.families.mistral import MINISTRAL, MINISTRAL3, MISTRAL
from alula.frontend.families.olmo import OLMO
from alula.frontend.families.opt import OPT
from alula.frontend.families.phi3 import PHI3
from alula.frontend.families.qwen import QWEN2, QWEN3
from alula.frontend.families.smollm3 import SMOLLM3
from alula.frontend.families.stablelm import STABLELM
from alula.frontend.families.starcoder2 import STARCODER2
from alula.plugins import PluginError, find_plugin, plugin_names
from alula.sources import sources_id

FAMILIES: Mapping[str, Family] = {
    "cwm": CWM,
    "ernie4_5": ERNIE4_5,
    "gemma": GEMMA,
    "gemma2": GEMMA2,
    "glm": GLM,
    "glm4": GLM4,
    "gpt2": GPT2,
    "granite": GRANITE,
    "helium": HELIUM,
    "internlm3": INTERNLM3,
    "iquestcoder": IQUESTCODER,
    "llama": LLAMA,
    "ministral": MINISTRAL,
    "ministral3": MINISTRAL3,
    "mistral": MISTRAL,
    "olmo": OLMO,
    "opt": OPT,
    "phi3": PHI3,
    "qwen2": QWEN2,
    "qwen3": QWEN3,
    "seed_oss": SEED_OSS,
    "smollm3": SMOLLM3,
    "stablelm": STABLELM,
    "starcoder2": STARCODER2,
}
"""The values of ``model_type`` that Alula itself reads."""

GROUP = "alula.families"
"""Where other packages register a `Family` under its ``model_type``."""

__all__ = ["FAMILIES", "Family", "brought_by", "family_names", "find_family"]


def family_names() -> list[str]:
    """Every ``model_type`` that is read, Alula's own first."""
    return [*FAMILIES, *(name for name in plugin_names(GROUP) if name not in FAMILIES)]


def find_family(name: str) -> Family | None:
    """The family of a ``model_type``, None if there is none.

    Another package's module is imported for it, and may register its classes with transformers.

    Raises:
        PluginError: Another package has registered what cannot be one.
    """
    plugin = find_plugin(GROUP, name, FAMILIES)
    if plugin is None:
        return FAMILIES.get(name)
    if not isinstance(plugin.value, Family):
        kind = type(plugin.value).__name__
        raise PluginError(f"a family must be a Family, not of type {kind} ({plugin.place})")
    return plugin.value


def brought_by(name: str) -> str:
    """Identity of the code of another package that reads a family; empty for Alula's own."""
    plugin = find_plugin(GROUP, name, FAMILIES)
    if plugin is None:
        return ""
    code = sources_id(plugin.module.partition(".")[0])
    return sha256(f"{plugin.place} {code}".encode()).hexdigest()
