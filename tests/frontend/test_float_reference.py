"""The float reference unit by unit, and on the real model."""

from pathlib import Path

import pytest
import torch
from transformers import AutoModelForCausalLM, LlamaConfig, LlamaForCausalLM

from alula.frontend import load
from alula.frontend.float_reference import FloatReference


@pytest.fixture(scope="module")
def reference() -> FloatReference:
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=64,
        hidden_size=32,
        intermediate_size=48,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=32,
        pad_token_id=None,
    )
    return FloatReference(load(LlamaForCausalLM(config).eval()))


IDS = list(range(1, 25))


def test_units_one_by_one_give_the_logits(reference: FloatReference) -> None:
    positions = range(len(IDS))
    hidden = reference.embed(IDS, positions)
    assert hidden.shape == (24, 32)
    for index in range(reference.architecture.layers):
        hidden = reference.layer(index, hidden, positions)
    torch.testing.assert_close(reference.head(hidden), reference.logits(IDS), atol=0, rtol=0)


@pytest.mark.parametrize("cuts", [[1] * 24, [23, 1], [5, 7, 12], [1, 22, 1]])
def test_a_text_in_pieces_gives_the_same_logits(cuts: list[int], reference: FloatReference) -> None:
    caches, rest, pieces = reference.cache(), IDS, []
    for cut in cuts:
        pieces.append(reference.logits(rest[:cut], caches))
        rest = rest[cut:]
    torch.testing.assert_close(torch.cat(pieces), reference.logits(IDS), atol=1e-5, rtol=1e-5)
    assert caches[1].keys.shape == (24, 2, 8)


def test_a_cache_goes_back(reference: FloatReference) -> None:
    caches = reference.cache()
    reference.logits(IDS, caches)
    for cache in caches:
        cache.truncate(10)
    again = reference.logits(IDS[10:12], caches)
    torch.testing.assert_close(again, reference.logits(IDS)[10:12], atol=1e-5, rtol=1e-5)


def test_weights_are_read_when_a_unit_first_runs(reference: FloatReference) -> None:
    fresh = FloatReference(reference.checkpoint)
    fresh.embed([1], [0])
    assert set(fresh._weights) == {"embed"}


@pytest.mark.parametrize(
    ("ids", "message"),
    [
        ([], r"ids must be a row of numbers, not of shape \(0,\)"),
        ([64], "ids must be 0 to 63, not 64"),
        ([-1], "ids must be 0 to 63, not -1"),
        ([0] * 33, "positions must be 0 to 31, not 32"),
    ],
)
def test_what_does_not_fit_is_refused(ids, message: str, reference: FloatReference) -> None:
    with pytest.raises(ValueError, match=message):
        reference.logits(ids)


def test_a_cache_says_what_it_cannot_do(reference: FloatReference) -> None:
    cache = reference.cache()[0]
    assert cache.keys.shape == cache.values.shape == (0, 2, 8)
    with pytest.raises(ValueError, match=r"values must be torch.float32 \(1, 2, 8\), not"):
        cache.append(torch.zeros(1, 2, 8), torch.zeros(1, 2, 9))
    with pytest.raises(ValueError, match="length must be 0 to 0, not 1"):
        cache.truncate(1)


@pytest.mark.slow
def test_the_real_model_equals_transformers(smollm2_path: Path) -> None:
    pytest.importorskip("accelerate", reason="transformers reads GGUF only with accelerate")
    oracle = AutoModelForCausalLM.from_pretrained(
        smollm2_path.parent, gguf_file=smollm2_path.name, dtype=torch.float32
    ).eval()
    ids = torch.arange(1000, 1064)
    with torch.no_grad():
        expected = oracle(ids[None]).logits[0]
    actual = FloatReference(load(smollm2_path)).logits(ids)
    torch.testing.assert_close(actual, expected, atol=5e-4, rtol=1e-4)
