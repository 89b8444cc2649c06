"""Families of other packages, and each fault of theirs in one line."""

import importlib
from pathlib import Path

import pytest
import torch
from tests.conftest import Install
from tests.docs.blocks import ROOT, blocks
from transformers import AutoModelForCausalLM
from transformers.models.auto.configuration_auto import CONFIG_MAPPING

from alula.frontend import UnsupportedModel, load
from alula.frontend.families import Family
from alula.frontend.float_reference import FloatReference
from alula.plugins import PluginError

PAGE = ROOT / "docs/how-to/family.md"
(ACME,) = (block.text for block in blocks(PAGE) if block.title == "acme.py")
IDS = torch.arange(3, 19)


def test_a_family_of_another_package(
    cache: Path, tmp_path: Path, install: Install, monkeypatch: pytest.MonkeyPatch
) -> None:
    for mapping in (CONFIG_MAPPING, AutoModelForCausalLM._model_mapping):
        monkeypatch.setattr(mapping, "_extra_content", {})
    install("alula.families", ACME, acme="ACME")
    acme = importlib.import_module("plug_module")
    sizes = {"hidden_size": 64, "intermediate_size": 96, "num_hidden_layers": 2, "vocab_size": 96}
    config = acme.AcmeConfig(**sizes, num_attention_heads=2, num_key_value_heads=1)
    config.logit_factor = 0.5
    torch.manual_seed(1)
    model = acme.AcmeForCausalLM(config).eval()
    model.save_pretrained(tmp_path / "model")
    read = load(tmp_path / "model")
    reference = FloatReference(read)
    hidden = reference.embed(IDS, range(len(IDS)))
    for index in range(2):
        hidden = reference.layer(index, hidden, range(len(IDS)))
    theirs = model(IDS[None]).logits[0].detach()
    torch.testing.assert_close(reference.head(hidden), theirs, rtol=1e-4, atol=1e-5)

    monkeypatch.setattr(acme, "ACME", Family(models="Acme"))
    with pytest.raises(UnsupportedModel, match="logit_factor"):
        load(tmp_path / "model")
    monkeypatch.undo()


def test_a_changed_package_is_another_content(
    small_model: Path, install: Install, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delitem(importlib.import_module("alula.frontend.families").FAMILIES, "llama")
    text = "from alula.frontend.families.llama import LLAMA\n"
    install("alula.families", text, llama="LLAMA")
    first = load(small_model).content_id
    path = Path(importlib.import_module("plug_module").__file__ or "")
    path.write_text(f"{text}# changed\n")
    assert load(small_model).content_id != first


def test_a_name_that_is_taken(small_model: Path, install: Install) -> None:
    install("alula.families", ACME, llama="ACME")
    words = (
        r"^a name must be registered once, not by alula and plug 1\.5 \(alula.families: llama\)$"
    )
    with pytest.raises(PluginError, match=words):
        load(small_model)


def test_what_is_no_family(
    small_model: Path, install: Install, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delitem(importlib.import_module("alula.frontend.families").FAMILIES, "llama")
    install("alula.families", "llama = {}", llama="llama")
    words = r"^a family must be a Family, not of type dict \(alula.families: llama, of plug 1\.5\)$"
    with pytest.raises(PluginError, match=words):
        load(small_model)
