"""Next-token probabilities of random GGUF files, and what is refused, beside llama.cpp."""

from pathlib import Path

import gguf
import numpy as np
import pytest
import torch
from gguf import RopeScalingType as Scaling
from tests.frontend.random_gguf import (
    FAMILIES,
    HEAD,
    HEADS,
    INNER,
    KV_HEADS,
    LAYERS,
    TOKENS,
    Change,
    Writer,
    random_gguf,
)
from tests.llama_cpp import LlamaCpp, Tensors

from alula.frontend import FrontendError, load
from alula.frontend.float_reference import FloatReference

IDS = [3 + (7 * number * number + 3 * number) % 120 for number in range(48)]
ROPE = ("llama", "qwen2", "qwen3")


def number(key: str, value: float) -> Writer:
    """Adds a number under a key behind the family's name."""
    return lambda writer: writer.add_float32(f"{writer.arch}.{key}", value)


def scaling(kind: Scaling, factor: float | None = None) -> Writer:
    def extra(writer: gguf.GGUFWriter) -> None:
        writer.add_rope_scaling_type(kind)
        if factor is not None:
            writer.add_rope_scaling_factor(factor)

    return extra


def both(writer: gguf.GGUFWriter) -> None:
    writer.add_rope_scaling_factor(2.0)
    writer.add_float32(f"{writer.arch}.rope.scale_linear", 4.0)


METADATA: dict[str, Writer] = {
    "nothing": lambda writer: None,
    "factor-alone": lambda writer: writer.add_rope_scaling_factor(4.0),
    "factor-of-zero": lambda writer: writer.add_rope_scaling_factor(0.0),
    "old-factor": number("rope.scale_linear", 4.0),
    "both-factors": both,
    "no-scaling-with-factor": scaling(Scaling.NONE, 4.0),
    "linear": scaling(Scaling.LINEAR, 4.0),
    "linear-without-factor": scaling(Scaling.LINEAR),
    "original-context": lambda writer: writer.add_rope_scaling_orig_ctx_len(16),
    "finetuned": lambda writer: writer.add_rope_scaling_finetuned(True),
    "base": lambda writer: writer.add_rope_freq_base(5e5),
    "attention-scale": number("attention.scale", 0.6),
    "clamped": number("attention.clamp_kqv", 0.1),
    "head-size": lambda writer: (writer.add_key_length(HEAD), writer.add_value_length(HEAD)),
    "rope-size": lambda writer: writer.add_rope_dimension_count(HEAD),
    "vocabulary-size": lambda writer: writer.add_vocab_size(99),
}
NEITHER: dict[str, Writer] = {
    "partial-rope": lambda writer: writer.add_rope_dimension_count(HEAD // 2),
    "experts": lambda writer: writer.add_expert_count(8),
    "yarn": scaling(Scaling.YARN, 4.0),
    "longrope": scaling(Scaling.LONGROPE, 4.0),
    "attention-factor": number("rope.scaling.attn_factor", 2.0),
    "yarn-part": number("rope.scaling.yarn_ext_factor", 1.0),
    "bidirectional": lambda writer: writer.add_causal_attention(False),
    "predicts-more": lambda writer: writer.add_uint32(f"{writer.arch}.nextn_predict_layers", 1),
    "capped": number("final_logit_softcapping", 30.0),
    "logits-scaled": number("logit_scale", 0.5),
}


def ours(path: Path) -> torch.Tensor:
    """Log-probabilities of the token after `IDS`, in float64."""
    logits = FloatReference(load(path)).logits(IDS)[-1]
    return torch.log_softmax(logits.double(), -1)


def assert_same(path: Path) -> None:
    """llama.cpp's kernels round activations to 8 bits: 0.02 is near, a wrong reading is not."""
    actual = ours(path)
    for token, expected in LlamaCpp(path, 64).log_probabilities(IDS, 20).items():
        assert actual[token].item() == pytest.approx(expected, abs=0.04), token


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("name", METADATA)
def test_metadata_is_read_as_llama_cpp_reads_it(name: str, family: str, tmp_path: Path) -> None:
    assert_same(random_gguf(tmp_path / "model.gguf", family, METADATA[name]))


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("name", NEITHER)
def test_what_would_change_a_result_is_refused(name: str, family: str, tmp_path: Path) -> None:
    path = random_gguf(tmp_path / "model.gguf", family, NEITHER[name])
    if name == "partial-rope" and family == "gpt2":
        assert_same(path)
        return
    with pytest.raises(FrontendError):
        load(path)


@pytest.mark.parametrize(
    "extra",
    [
        number("rope.scaling.factor", -2.0),
        number("rope.scaling.factor", 1e-45),
        number("rope.scaling.factor", 0.005),
        number("rope.freq_base", 1e-40),
        lambda writer: writer.add_float64("llama.rope.freq_base", 5e-324),
    ],
)
def test_rope_that_turns_backwards_or_too_far_is_refused(extra: Writer, tmp_path: Path) -> None:
    with pytest.raises(FrontendError, match="must turn by 0 to 100 radians a position"):
        load(random_gguf(tmp_path / "model.gguf", "llama", extra))


def test_rope_that_turns_far_is_right(tmp_path: Path) -> None:
    assert_same(random_gguf(tmp_path / "model.gguf", "llama", number("rope.scaling.factor", 0.02)))


@pytest.mark.parametrize("count", [1, LAYERS + 1])
def test_sizes_by_layer_are_as_many_as_layers(count: int, tmp_path: Path) -> None:
    def by_layer(writer: gguf.GGUFWriter) -> None:
        writer.add_head_count_kv([KV_HEADS] * count)

    left_out = ("attention.head_count_kv",)
    path = random_gguf(tmp_path / "model.gguf", "llama", by_layer, left_out=left_out)
    with pytest.raises(FrontendError, match=rf"head_count_kv by layer +{LAYERS} +{count} "):
        load(path)


@pytest.mark.parametrize("family", ROPE)
def test_sizes_by_layer_are_read_like_one_size(family: str, tmp_path: Path) -> None:
    def by_layer(writer: gguf.GGUFWriter) -> None:
        writer.add_head_count([HEADS] * LAYERS)
        writer.add_head_count_kv([KV_HEADS] * LAYERS)
        writer.add_feed_forward_length([INNER] * LAYERS)

    sizes = ("attention.head_count", "attention.head_count_kv", "feed_forward_length")
    path = random_gguf(tmp_path / "model.gguf", family, by_layer, left_out=sizes)
    assert_same(path)

    def partial(writer: gguf.GGUFWriter) -> None:
        by_layer(writer)
        writer.add_rope_dimension_count(HEAD // 2)

    with pytest.raises(FrontendError, match="partial rope"):
        load(random_gguf(path, family, partial, left_out=sizes))


def biases(name: str, size: int) -> Change:
    values = np.linspace(-0.5, 0.6, size)
    return lambda tensors: tensors.update(
        {f"blk.{layer}.{name}.bias": values for layer in range(LAYERS)}
    )


def without(*parts: str) -> Change:
    def change(tensors: Tensors) -> None:
        for name in [name for name in tensors if any(part in name for part in parts)]:
            del tensors[name]

    return change


QK_NORMS = {
    f"blk.{layer}.attn_{side}_norm.weight": np.linspace(0.5, 1.6, HEAD)
    for layer in range(LAYERS)
    for side in "qk"
}
TENSORS: dict[str, Change] = {
    "tied": without("output.weight"),
    "no-biases": without(".bias"),
    "no-norms-of-heads": without("attn_q_norm", "attn_k_norm"),
    "rope-factors": lambda t: t.update({"rope_freqs.weight": np.linspace(1, 8, HEAD // 2)}),
    "norms-of-heads": lambda t: t.update(QK_NORMS),
    "bias-of-q": biases("attn_q", HEADS * HEAD),
    "bias-of-k": biases("attn_k", KV_HEADS * HEAD),
    "bias-of-v": biases("attn_v", KV_HEADS * HEAD),
    "bias-of-o": biases("attn_output", HEADS * HEAD),
    "bias-of-gate": biases("ffn_gate", INNER),
    "bias-of-up": biases("ffn_up", INNER),
    "bias-of-down": biases("ffn_down", HEADS * HEAD),
    "bias-of-norms": biases("attn_norm", HEADS * HEAD),
    "bias-of-the-head": lambda t: t.update({"output.bias": np.linspace(-1, 1, TOKENS)}),
    "bias-of-one-layer": lambda t: t.update({"blk.1.attn_q.bias": np.ones(HEADS * HEAD)}),
}


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("name", TENSORS)
def test_tensors_count_as_llama_cpp_counts_them(name: str, family: str, tmp_path: Path) -> None:
    path = random_gguf(tmp_path / "model.gguf", family, change=TENSORS[name])
    try:
        load(path)
    except FrontendError:
        return
    assert_same(path)


@pytest.mark.parametrize("tokens", [TOKENS - 1, TOKENS + 1])
@pytest.mark.parametrize("family", FAMILIES)
def test_every_token_has_a_row(family: str, tokens: int, tmp_path: Path) -> None:
    path = random_gguf(tmp_path / "model.gguf", family, tokens=tokens)
    with pytest.raises(RuntimeError):
        LlamaCpp(path)
    words = f"token_embd.weight must have a row for each of {tokens} tokens, not {TOKENS} rows"
    with pytest.raises(FrontendError, match=words):
        load(path)


@pytest.mark.parametrize("family", ROPE)
def test_heads_for_keys_and_values_are_those_for_queries_by_default(
    family: str, tmp_path: Path
) -> None:
    wide = {
        f"blk.{layer}.attn_{side}.weight": np.random.default_rng(layer).normal(0, 0.15, (64, 64))
        for layer in range(LAYERS)
        for side in "kv"
    }

    def change(tensors: Tensors) -> None:
        without("attn_k.bias", "attn_v.bias")(tensors)
        tensors.update(wide)

    assert_same(
        random_gguf(
            tmp_path / "model.gguf", family, change=change, left_out=("attention.head_count_kv",)
        )
    )


@pytest.mark.parametrize("family", FAMILIES)
def test_the_epsilon_must_be_given(family: str, tmp_path: Path) -> None:
    left_out = ("layer_norm_epsilon", "layer_norm_rms_epsilon")
    path = random_gguf(tmp_path / "model.gguf", family, left_out=left_out)
    with pytest.raises(FrontendError, match="epsilon must be given"):
        load(path)
