"""Modules that users write, in the many ways that users write them."""

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from alula.frontend import FrontendError, UnsupportedModel, load
from alula.frontend.float_reference import FloatReference

IDS = list(range(3, 43))
HIDDEN, INNER, VOCABULARY, CONTEXT = 48, 64, 90, 128


class HandwrittenRms(nn.Module):
    def __init__(self, size: int) -> None:
        super().__init__()
        self.g = nn.Parameter(torch.ones(size))

    def forward(self, x: Tensor) -> Tensor:
        return self.g * (x.float() * torch.rsqrt(x.float().pow(2).mean(-1, keepdim=True) + 1e-6))


class UnitRms(HandwrittenRms):
    """Without an epsilon, but for zeros."""

    def forward(self, x: Tensor) -> Tensor:
        return F.normalize(x, dim=-1) * x.shape[-1] ** 0.5 * self.g


class OffsetRms(nn.Module):
    """Weights stored less one, and the root divided by."""

    def __init__(self, size: int) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.zeros(size))

    def forward(self, x: Tensor) -> Tensor:
        return x / torch.sqrt((x * x).mean(-1, keepdim=True) + 1e-5) * (1 + self.scale)


class SoftenedRms(HandwrittenRms):
    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x).tanh()


def rope_tables(head_dim: int) -> tuple[Tensor, Tensor]:
    frequencies = 10000 ** (-torch.arange(0, head_dim, 2) / head_dim)
    angles = torch.outer(torch.arange(CONTEXT), frequencies)
    return angles.cos(), angles.sin()


class HalfSplitRope(nn.Module):
    def __init__(self, head_dim: int) -> None:
        super().__init__()
        cosine, sine = rope_tables(head_dim)
        self.register_buffer("cos", torch.cat((cosine, cosine), -1), persistent=False)
        self.register_buffer("sin", torch.cat((sine, sine), -1), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        first, second = x.chunk(2, dim=-1)
        turned = torch.cat((-second, first), dim=-1)
        return x * self.cos[: x.shape[2]] + turned * self.sin[: x.shape[2]]


class ComplexRope(nn.Module):
    """Neighbours turn together, in complex numbers, from a table made on the way."""

    def __init__(self, head_dim: int) -> None:
        super().__init__()
        self.head_dim = head_dim

    def forward(self, x: Tensor) -> Tensor:
        frequencies = 500000.0 ** (-torch.arange(0, self.head_dim, 2) / self.head_dim)
        angles = torch.outer(torch.arange(x.shape[2]), frequencies)
        pairs = torch.view_as_complex(x.float().reshape(*x.shape[:-1], -1, 2))
        turned = pairs * torch.polar(torch.ones_like(angles), angles)
        return torch.view_as_real(turned).flatten(3).type_as(x)


def fused_attention(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    return F.scaled_dot_product_attention(q, k, v, is_causal=True, enable_gqa=True)


def repeated_attention(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    k, v = (x.repeat_interleave(q.shape[1] // k.shape[1], dim=1) for x in (k, v))
    mask = torch.full((q.shape[2], q.shape[2]), -1e9).triu(1)
    scores = q @ k.transpose(-2, -1) / math.sqrt(q.shape[-1]) + mask
    return F.softmax(scores.float(), dim=-1).type_as(q) @ v


def grouped_attention(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    batch, heads, tokens, size = q.shape
    q = q.view(batch, k.shape[1], heads // k.shape[1], tokens, size) * 0.2
    scores = torch.einsum("bgrqd,bgkd->bgrqk", q, k)
    mask = torch.ones(tokens, tokens, dtype=torch.bool).triu(1)
    weights = scores.masked_fill(mask, float("-inf")).softmax(-1)
    return torch.einsum("bgrqk,bgkd->bgrqd", weights, v).reshape(batch, heads, tokens, size)


def windowed_attention(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    mask = torch.ones(q.shape[2], q.shape[2], dtype=torch.bool).tril().triu(-7)
    return F.scaled_dot_product_attention(q, k, v, mask, enable_gqa=True)


def whole_attention(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    return F.scaled_dot_product_attention(q, k, v, enable_gqa=True)


def sink_attention(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    """One column more than there are tokens takes a share of the weights."""
    k, v = (x.repeat_interleave(q.shape[1] // k.shape[1], dim=1) for x in (k, v))
    scores = q @ k.transpose(-2, -1) / math.sqrt(q.shape[-1])
    scores = scores + torch.full(scores.shape[-2:], -1e9).triu(1)
    sinks = torch.full((*scores.shape[:-1], 1), 0.5)
    return torch.cat((scores, sinks), -1).softmax(-1)[..., :-1] @ v


@dataclass
class Style:
    """How a module is written; every field is one choice."""

    norm: Callable[[int], nn.Module] = HandwrittenRms
    rope: Callable[[int], nn.Module] | None = HalfSplitRope
    attention: Callable[[Tensor, Tensor, Tensor], Tensor] = fused_attention
    activation: Callable[[Tensor], Tensor] = F.silu
    kv_heads: int = 2
    gated: bool = True
    fused: bool = False
    bias: bool = False
    qk_norm: bool = False
    tied: bool = False
    learned: bool = False
    in_place: bool = False
    head_bias: bool = False
    residual: str = "serial"
    last_only: bool = False
    layers: int = 1
    extra: dict[str, Any] = field(default_factory=dict)


class Attention(nn.Module):
    heads, size = 4, HIDDEN // 4

    def __init__(self, style: Style) -> None:
        super().__init__()
        self.style = style
        self.sizes = [HIDDEN, style.kv_heads * self.size, style.kv_heads * self.size]
        if style.fused:
            self.qkv = nn.Linear(HIDDEN, sum(self.sizes), bias=style.bias)
        else:
            self.parts = nn.ModuleList(nn.Linear(HIDDEN, n, bias=style.bias) for n in self.sizes)
        self.back = nn.Linear(HIDDEN, HIDDEN, bias=style.bias)
        self.turn = style.rope(self.size) if style.rope else nn.Identity()
        self.norms = nn.ModuleList(
            nn.RMSNorm(self.size, eps=1e-6) for _ in range(2 * style.qk_norm)
        )
        self.dropout = nn.Dropout(0.1)

    def forward(self, x: Tensor) -> Tensor:
        parts = (
            self.qkv(x).split(self.sizes, -1) if self.style.fused else [f(x) for f in self.parts]
        )
        q, k, v = (part.view(*x.shape[:2], -1, self.size).transpose(1, 2) for part in parts)
        if self.style.qk_norm:
            q, k = self.norms[0](q), self.norms[1](k)
        mixed = self.style.attention(self.turn(q), self.turn(k), v)
        return self.dropout(self.back(mixed.transpose(1, 2).contiguous().view(x.shape)))


class Mlp(nn.Module):
    def __init__(self, style: Style) -> None:
        super().__init__()
        self.style = style
        self.wide = nn.Linear(HIDDEN, (1 + style.gated) * INNER, bias=style.bias)
        self.back = nn.Linear(INNER, HIDDEN, bias=style.bias)

    def forward(self, x: Tensor) -> Tensor:
        wide = self.wide(x)
        if not self.style.gated:
            return self.back(self.style.activation(wide))
        value, gate = wide.chunk(2, dim=-1)
        return self.back(self.style.activation(gate) * value)


class Block(nn.Module):
    def __init__(self, style: Style) -> None:
        super().__init__()
        self.style = style
        self.first, self.second = style.norm(HIDDEN), style.norm(HIDDEN)
        self.mix, self.think = Attention(style), Mlp(style)

    def forward(self, x: Tensor) -> Tensor:
        if self.style.residual == "parallel":
            return x + self.mix(self.first(x)) + self.think(self.second(x))
        if self.style.residual == "post":
            x = self.first(x + self.mix(x))
            return self.second(x + self.think(x))
        if self.style.in_place:
            x = x.clone()
            x += self.mix(self.first(x))
            x += self.think(self.second(x))
            return x
        x = x + self.mix(self.first(x))
        return x + self.think(self.second(x))


class UserModel(nn.Module):
    def __init__(self, style: Style) -> None:
        super().__init__()
        self.style = style
        self.words = nn.Embedding(VOCABULARY, HIDDEN)
        if style.learned:
            self.places = nn.Embedding(CONTEXT, HIDDEN)
        self.blocks = nn.ModuleList(Block(style) for _ in range(style.layers))
        self.last = style.norm(HIDDEN)
        self.out = nn.Linear(HIDDEN, VOCABULARY, bias=style.head_bias)
        if style.tied:
            self.out.weight = self.words.weight
        for name, value in style.extra.items():
            setattr(self, name, value)

    def forward(self, ids: Tensor) -> Any:
        x = self.words(ids)
        if self.style.learned:
            x = x + self.places(torch.arange(ids.shape[1]))
        for block in self.blocks:
            x = block(x)
        x = x[:, [-1]] if self.style.last_only else x
        return self.out(self.last(x)), None


def build(style: Style) -> UserModel:
    torch.manual_seed(1)
    model = UserModel(style).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn_like(parameter), alpha=0.1)
    return model


LAYER_NORM = partial(nn.LayerNorm, eps=1e-5)
STYLES = {
    "llama by hand": Style(layers=2),
    "complex rope, fused qkv, own softmax": Style(
        norm=partial(nn.RMSNorm, eps=1e-5),
        rope=ComplexRope,
        attention=repeated_attention,
        fused=True,
        bias=True,
        layers=2,
        extra={"max_seq_len": 77},
    ),
    "grouped einsum with a scale of its own": Style(
        norm=OffsetRms, rope=ComplexRope, attention=grouped_attention, kv_heads=1
    ),
    "q and k normed, tied head, in place": Style(
        qk_norm=True, tied=True, in_place=True, kv_heads=4
    ),
    "gpt with learned positions": Style(
        norm=LAYER_NORM,
        rope=None,
        learned=True,
        gated=False,
        activation=F.gelu,
        bias=True,
        kv_heads=4,
    ),
    "relu, LayerNorm without bias": Style(
        norm=partial(nn.LayerNorm, bias=False), activation=F.relu, gated=False
    ),
    "norms of length one": Style(norm=UnitRms, layers=2),
    "gated gelu by tanh": Style(activation=partial(F.gelu, approximate="tanh")),
}


@pytest.mark.parametrize("name", STYLES)
def test_logits_equal_the_modules_own(name: str) -> None:
    model = build(STYLES[name])
    with torch.no_grad():
        expected = model(torch.tensor([IDS]))[0][0]
    actual = FloatReference(load(model)).logits(IDS)
    torch.testing.assert_close(actual, expected, atol=1e-4, rtol=1e-4)


def test_what_a_module_says_about_its_architecture() -> None:
    shape = load(build(STYLES["complex rope, fused qkv, own softmax"])).architecture
    assert (shape.heads, shape.kv_heads, shape.head_dim, shape.max_context) == (4, 2, 12, 77)
    assert shape.norm_eps == 1e-5
    assert shape.rope_inverse_frequencies == tuple(500000.0 ** (-2 * i / 12) for i in range(6))
    assert shape.biases == {
        "attn.q",
        "attn.k",
        "attn.v",
        "attn.o",
        "mlp.gate",
        "mlp.up",
        "mlp.down",
    }
    assert load(build(Style())).architecture.max_context == CONTEXT
    grouped = load(build(STYLES["grouped einsum with a scale of its own"]))
    assert grouped.architecture.attention_scale == pytest.approx(0.2, rel=1e-5)
    assert grouped.notes == ("context taken as 2048: the module names none",)
    tied = load(build(STYLES["q and k normed, tied head, in place"]))
    assert tied.architecture.tied_head
    assert tied.architecture.qk_norm


def test_a_module_is_left_as_it_is() -> None:
    model = build(Style(rope=ComplexRope)).to(torch.bfloat16)
    model.blocks.train()
    for block in model.blocks:
        block.mix.dropout.p = 0.0
    checkpoint = load(model)
    assert [part.training for part in (model, model.words, model.blocks)] == [False, False, True]
    assert model.words.weight.dtype == torch.bfloat16
    stored = checkpoint.tensor("embed.weight")
    np.testing.assert_array_equal(stored, model.words.weight.detach().float())


def test_the_content_id_is_that_of_the_weights() -> None:
    model = build(Style())
    first = load(model).content_id
    assert load(build(Style())).content_id == first
    with torch.no_grad():
        model.last.g[0] += 1
    assert load(model).content_id != first


REFUSED = {
    "parallel residual": (Style(residual="parallel"), "residual branches"),
    "norm after": (Style(residual="post"), "residual branches"),
    "a window": (Style(attention=windowed_attention), "attention"),
    "no mask": (Style(attention=whole_attention), "attention"),
    "a sink": (Style(attention=sink_attention), "attention"),
    "no positions": (Style(rope=None), "positions"),
    "both positions": (Style(learned=True), "positions"),
    "another activation": (Style(activation=F.mish), "activation"),
    "another norm": (Style(norm=SoftenedRms), "normalisation"),
    "a biased head": (Style(head_bias=True), "bias"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_not_supported_comes_as_a_table(name: str) -> None:
    style, reason = REFUSED[name]
    with pytest.raises(UnsupportedModel) as caught:
        load(build(style))
    assert [refusal.reason for refusal in caught.value.refusals] == [reason]


class WithoutGradients(UserModel):
    @torch.no_grad()
    def forward(self, ids: Tensor) -> Any:
        return super().forward(ids)


class Hidden(nn.Module):
    """A model that is no submodule: its weights are constants of the graph, as tables are."""

    max_seq_len = 70

    def __init__(self, style: Style) -> None:
        super().__init__()
        self.run = UserModel(style).eval().forward

    def forward(self, ids: Tensor) -> Any:
        return self.run(ids)


class Noisy(UserModel):
    """The same noise every time, out of a generator that torch.export makes a constant of."""

    generator = torch.Generator()

    def __init__(self, style: Style) -> None:
        super().__init__(style)
        self.words.register_forward_hook(self._noise)

    def _noise(self, module: nn.Module, given: tuple, result: Tensor) -> Tensor:
        noise = torch.randn(result.shape, generator=self.generator.manual_seed(1))
        return result + 0.01 * noise


def masked_ids(module: nn.Module, given: tuple, result: Tensor) -> Tensor:
    """Logits of ids that are never to come."""
    return result.index_fill(-1, torch.tensor([3, 4]), -torch.inf)


def test_a_forward_pass_under_no_grad_is_read() -> None:
    torch.manual_seed(1)
    assert load(WithoutGradients(Style()).eval()).architecture.max_context == CONTEXT


def test_weights_say_nothing_of_the_context() -> None:
    assert load(Hidden(Style(rope=ComplexRope))).architecture.max_context == 70
    assert load(build(Style(rope=ComplexRope, extra={"max_seq_len": True}))).notes


def test_noise_is_refused() -> None:
    with pytest.raises(UnsupportedModel, match="added to the embedding"):
        load(Noisy(Style()).eval())


def test_masked_logits_are_refused_for_what_they_are() -> None:
    model = build(Style())
    model.out.register_forward_hook(masked_ids)
    with pytest.raises(UnsupportedModel, match="by index_fill"):
        load(model)


def test_a_model_beyond_float32_is_refused() -> None:
    model = build(Style())
    with torch.no_grad():
        model.words.weight *= 1e25
    with pytest.raises(FrontendError, match="float32 must give the logits of exact numbers, not"):
        load(model)


def test_what_cannot_be_asked_of_a_graph_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(*_: object) -> None:
        raise RuntimeError("shape [1, 2]\nis invalid")

    monkeypatch.setattr("alula.frontend.exported.model.match_mlp", fails)
    with pytest.raises(UnsupportedModel, match=r"RuntimeError: shape \[1, 2\] is invalid"):
        load(build(Style()))


def test_no_language_model() -> None:
    shape = r"the module must give logits of the shape \(1, 5, vocabulary\), not "
    with pytest.raises(FrontendError, match=shape + r"\(1, 5\)"):
        load(_Cast())
    with pytest.raises(FrontendError, match=shape + r"\(1, 1, 90\)"):
        load(build(Style(last_only=True)))
    with pytest.raises(FrontendError, match=r"must run a text of 5 tokens, not fail: RuntimeError"):
        load(nn.Linear(3, 3))


class _Cast(nn.Module):
    def forward(self, ids: Tensor) -> Tensor:
        return ids.float() + 1


FACTORY = """
import torch
from torch import nn

class Small(nn.Module):
    def forward(self, ids):
        return ids

def model():
    return Small()

def number():
    return 3

def broken():
    raise RuntimeError("out of luck")
"""


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("own_models:model", "must give logits of the shape"),
        ("own_models:number", "own_models:number must be a torch.nn.Module, not int"),
        ("own_models:broken", "must give a module, not RuntimeError: out of luck"),
        ("own_models:missing", "must give a module, not AttributeError"),
        ("no_such_package:model", "must give a module, not ModuleNotFoundError"),
    ],
)
def test_factories_of_the_working_directory(
    name: str, message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "own_models.py").write_text(FACTORY)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(FrontendError, match=message):
        load(name)
