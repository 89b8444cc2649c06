"""What an architecture says of itself, and what it refuses to be."""

import json
import math

import pytest

from alula.ir.architecture import Architecture

TINY = {
    "family": "llama",
    "vocab_size": 10,
    "hidden_size": 8,
    "layers": 2,
    "heads": 4,
    "kv_heads": 2,
    "head_dim": 4,
    "intermediate_size": 12,
    "max_context": 16,
    "norm": "rmsnorm",
    "norm_eps": 1e-5,
    "activation": "silu",
    "gated_mlp": True,
    "position": "rope",
    "rope_inverse_frequencies": (1.0, 0.01),
}
GPT = {
    **TINY,
    "norm": "layernorm",
    "gated_mlp": False,
    "position": "learned",
    "rope_inverse_frequencies": None,
    "kv_heads": 4,
    "biases": frozenset({"attn.o", "mlp.up"}),
    "tied_head": True,
}


def test_derived_sizes() -> None:
    shape = Architecture(**TINY)
    assert (shape.query_size, shape.kv_size, shape.attention_scale) == (16, 8, 0.5)
    assert shape.units == ("embed", "layers.0", "layers.1", "head")
    assert shape.parameters == 2 * 80 + 8 + 2 * (2 * 8 + 2 * 16 * 8 + 2 * 8 * 8 + 3 * 8 * 12)


def test_tensors_in_the_order_of_use() -> None:
    layer = Architecture(**TINY, qk_norm=True).unit_tensors("layers.1")
    assert [name.removeprefix("layers.1.") for name in layer] == [
        "attn_norm.weight",
        "attn.q.weight",
        "attn.q_norm.weight",
        "attn.k.weight",
        "attn.k_norm.weight",
        "attn.v.weight",
        "attn.o.weight",
        "mlp_norm.weight",
        "mlp.gate.weight",
        "mlp.up.weight",
        "mlp.down.weight",
    ]
    gpt = Architecture(**GPT)
    assert list(gpt.unit_tensors("embed")) == ["embed.weight", "embed.position"]
    assert list(gpt.unit_tensors("head")) == ["final_norm.weight", "final_norm.bias"]
    assert gpt.unit_tensors("layers.0")["layers.0.mlp.up.bias"] == (12,)


def test_units_that_there_are_not() -> None:
    with pytest.raises(ValueError, match=r"must be embed, head or layers.0 to layers.1, not 'x'"):
        Architecture(**TINY).unit_tensors("x")


@pytest.mark.parametrize("values", [TINY, GPT])
def test_json_and_back(values: dict) -> None:
    shape = Architecture(**values)
    assert Architecture.from_json(json.loads(json.dumps(shape.to_json()))) == shape


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"layers": 0}, "layers must be a positive integer, not 0"),
        ({"layers": True}, "layers must be a positive integer, not True"),
        ({"norm": "batchnorm"}, "norm must be one of rmsnorm, layernorm, not 'batchnorm'"),
        ({"kv_heads": 3}, r"heads must be a multiple of kv_heads \(3\), not 4"),
        ({"norm_eps": -1.0}, "norm_eps must be finite and not negative, not -1.0"),
        ({"attention_scale": math.inf}, "attention_scale must be finite and positive, not inf"),
        ({"attention_cap": 0.0}, "attention_cap must be finite and positive, not 0.0"),
        ({"logit_cap": -math.inf}, "logit_cap must be finite and positive, not -inf"),
        ({"head_dim": 3}, "head_dim must be even with rope, not 3"),
        ({"rope_inverse_frequencies": (1.0,)}, "must be 2 numbers, not 1 numbers"),
        ({"rope_inverse_frequencies": None}, "must be 2 numbers, not None"),
        ({"rope_inverse_frequencies": (1.0, math.nan)}, "must be finite"),
        ({"position": "learned"}, "must be None with learned positions"),
        ({"biases": frozenset({"lm_head"})}, r"biases must be out of attn\.q.*not lm_head"),
        ({"gated_mlp": False, "biases": frozenset({"mlp.gate"})}, r"must not name mlp\.gate"),
    ],
)
def test_contradictions_are_refused(change: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Architecture(**{**TINY, **change})
