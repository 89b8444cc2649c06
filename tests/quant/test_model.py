import numpy as np
import pytest
from tests.shapes import FAMILIES, RandomCheckpoint

from alula.ir import Precision
from alula.quant import QuantizedModel, quantize
from alula.quant.floats import bf16_bits


def test_matrices_and_progress():
    seen = []
    weights = RandomCheckpoint(FAMILIES["smollm"])
    model = QuantizedModel(weights, progress=lambda name, count: seen.append((name, count)))
    assert next(iter(model.shapes)) == "layers.0.attn.q"
    assert list(model.shapes)[-1] == "lm_head"
    for name, shape in model.shapes.items():
        matrix = model.matrix(name)
        assert matrix.shape == shape
        assert matrix.format == ("W8" if name == "lm_head" else "W4")
    assert seen == [(name, shape[0] * shape[1]) for name, shape in model.shapes.items()]
    plain = quantize(weights.tensor("layers.1.mlp.down.weight"), "W4")
    assert (model.matrix("layers.1.mlp.down").q == plain.q).all()
    with pytest.raises(KeyError, match=r"layers\.2"):
        model.matrix("layers.2.attn.q")


def test_attention_scale_goes_into_the_query():
    weights = RandomCheckpoint(FAMILIES["qwen2"])
    model = QuantizedModel(weights, Precision("W8", "W8"))
    scale = weights.architecture.attention_scale
    wanted = quantize((weights.tensor("layers.0.attn.q.weight") * scale).astype(np.float32), "W8")
    assert (model.matrix("layers.0.attn.q").q == wanted.q).all()
    bias = weights.tensor("layers.0.attn.q.bias").astype(np.float64) * scale
    assert (model.vector("layers.0.attn.q.bias") == bias.astype(np.float32)).all()
    key = weights.tensor("layers.0.attn.k.bias")
    assert (model.vector("layers.0.attn.k.bias") == key).all()


def test_attention_scale_goes_into_the_query_norm():
    weights = RandomCheckpoint(FAMILIES["qwen3"])
    model = QuantizedModel(weights, Precision("W8", "W8"))
    gain = weights.tensor("layers.0.attn.q_norm.weight").astype(np.float64)
    gain *= weights.architecture.attention_scale
    assert (model.vector("layers.0.attn.q_norm.weight") == gain.astype(np.float32)).all()
    plain = quantize(weights.tensor("layers.0.attn.q.weight"), "W8")
    assert (model.matrix("layers.0.attn.q").q == plain.q).all()


def test_vectors_that_are_not_there():
    model = QuantizedModel(RandomCheckpoint(FAMILIES["smollm"]))
    assert model.vector("layers.0.attn.q.bias") is None
    assert model.vector("final_norm.bias") is None
    assert model.vector("lm_head.weight") is None


def test_tables():
    model = QuantizedModel(RandomCheckpoint(FAMILIES["smollm"]))
    embedding = model.embedding()
    assert embedding.shape == (160, 64)
    bf16_bits(embedding)
    assert model.positions() is None
    table = model.rope_table()
    assert table is not None
    assert (table.dtype, table.shape) == (np.float32, (96, 32))
    assert table[0].tolist() == [1] * 16 + [0] * 16
    assert table[3, 1] == np.float32(np.cos(3 * 10000.0 ** (-1 / 16)))
    assert (model.rope_table(5) == table[:5]).all()
    learned = QuantizedModel(RandomCheckpoint(FAMILIES["opt"]))
    assert learned.rope_table() is None
    positions = learned.positions()
    assert positions is not None
    assert positions.shape == (96, 64)
