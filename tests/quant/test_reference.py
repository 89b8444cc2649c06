import pytest
import torch
from tests.shapes import FAMILIES, RandomCheckpoint

from alula.frontend.float_reference import FloatReference
from alula.ir import Precision
from alula.quant import QuantizedModel
from alula.quant.reference import IntegerReference


@pytest.fixture(params=FAMILIES, scope="module")
def weights(request):
    return RandomCheckpoint(FAMILIES[request.param])


IDS = list(range(3, 73))


def test_stays_near_float(weights):
    model = QuantizedModel(weights, Precision("W8", "W8"))
    mine = IntegerReference(model).logits(IDS)
    wanted = FloatReference(weights).logits(IDS)
    assert mine.shape == wanted.shape
    assert (mine - wanted).norm() / wanted.norm() < 0.06


def test_does_not_depend_on_how_tokens_are_cut(weights):
    reference = IntegerReference(QuantizedModel(weights))
    whole = reference.logits(IDS)
    caches = reference.cache()
    parts = [reference.logits(IDS[:33], caches), reference.logits(IDS[33:36], caches)]
    parts += [reference.logits([token], caches) for token in IDS[36:]]
    assert torch.equal(torch.cat(parts), whole)
    caches[0].truncate(40)
    caches[1].truncate(40)
    assert torch.equal(reference.logits(IDS[40:], caches), whole[40:])


def test_values_are_clean_and_inputs_unchanged(weights):
    reference = IntegerReference(QuantizedModel(weights))
    hidden = reference.embed(IDS, range(len(IDS)))
    before = hidden.clone()
    after = reference.layer(0, hidden, range(len(IDS)))
    assert torch.equal(hidden, before)
    for values in (hidden, after, reference.head(after)):
        assert values.dtype == torch.float32
        magnitude = values.abs()
        assert ((magnitude >= 2.0**-126) | (values == 0)).all()
        assert not (values.signbit() & (values == 0)).any()


def test_attention_in_pieces_gives_the_same_bits(weights, monkeypatch):
    reference = IntegerReference(QuantizedModel(weights))
    whole = reference.logits(IDS)
    for module in ("arithmetic", "integers", "reference"):
        monkeypatch.setattr(f"alula.quant.{module}.piece_size", lambda device: 3000)
    assert torch.equal(reference.logits(IDS), whole)


def test_cache_holds_the_contracts_rows():
    reference = IntegerReference(QuantizedModel(RandomCheckpoint(FAMILIES["smollm"])))
    cache = reference.cache()[0]
    reference.layer(0, reference.embed(IDS, range(70)), range(70), cache)
    assert cache.length == 70
    for rows, scales in ((cache.keys, cache.key_scales), (cache.values, cache.value_scales)):
        assert (rows.dtype, tuple(rows.shape)) == (torch.int8, (70, 2, 32))
        assert (scales.dtype, tuple(scales.shape)) == (torch.float32, (70, 2))
        assert torch.equal(scales, scales.bfloat16().float())
        assert rows.abs().max() <= 127
    with pytest.raises(ValueError, match="length must be 0 to 70, not 71"):
        cache.truncate(71)
    with pytest.raises(ValueError, match=r"keys must be torch\.int8"):
        cache.append(cache.keys.float(), cache.key_scales, cache.values.float(), cache.key_scales)


def test_refusals():
    reference = IntegerReference(QuantizedModel(RandomCheckpoint(FAMILIES["smollm"])))
    with pytest.raises(ValueError, match="ids must be 0 to 159, not 160"):
        reference.embed([160], [0])
    with pytest.raises(ValueError, match="positions must be 0 to 95, not 96"):
        reference.embed([3], [96])
    with pytest.raises(ValueError, match=r"ids must be a row of numbers, not of shape \(0,\)"):
        reference.embed([], [0])
