"""Answers and texts are compared with the model as its author runs it, not with our reading."""

from pathlib import Path

import pytest
import torch
from transformers import LlamaConfig, LlamaForCausalLM

from alula.frontend import load
from alula.frontend.float_reference import FloatReference
from alula.runtime.reference import reference_of
from alula.runtime.verification import verify

IDS = [3, 5, 7, 11]


@pytest.fixture
def module() -> LlamaForCausalLM:
    torch.manual_seed(3)
    config = LlamaConfig(
        vocab_size=64,
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=2,
        max_position_embeddings=64,
    )
    return LlamaForCausalLM(config).eval()


@pytest.fixture
def blind(monkeypatch: pytest.MonkeyPatch) -> None:
    """Our own reading of a model's head says the same of every token."""
    monkeypatch.setattr(FloatReference, "head", lambda self, hidden: torch.zeros(len(hidden), 64))


def test_a_module_is_its_own_reference(module: LlamaForCausalLM) -> None:
    reference = reference_of(load(module))
    assert reference.label == "module"
    with torch.no_grad():
        torch.testing.assert_close(reference.logits(IDS), module(torch.tensor([IDS])).logits[0])


def test_verify_asks_the_module(module: LlamaForCausalLM, request: pytest.FixtureRequest) -> None:
    checkpoint = load(module)
    with torch.no_grad():
        answer = module.generate(
            torch.tensor([IDS]), max_new_tokens=4, do_sample=False, eos_token_id=None
        )[0, len(IDS) :].tolist()
    request.getfixturevalue("blind")
    verification = verify(checkpoint, IDS, answer)
    assert (verification.reference, verification.float_agreement) == ("module", 4)


def test_a_folder_is_read_by_transformers(small_model: Path) -> None:
    reference = reference_of(load(small_model))
    assert reference.label == "transformers"
    model = LlamaForCausalLM.from_pretrained(small_model, dtype=torch.float32)
    with torch.no_grad():
        torch.testing.assert_close(reference.logits(IDS), model(torch.tensor([IDS])).logits[0])


def test_a_gguf_file_has_our_reading_alone(smollm2_path: Path) -> None:
    assert reference_of(load(smollm2_path)).label == "our float reading"
