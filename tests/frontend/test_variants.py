"""Modules that do not do what their configuration says: read as they are, or refused."""

import copy
import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils import parametrizations, parametrize
from transformers import LlamaConfig, LlamaForCausalLM

from alula.frontend import Checkpoint, FrontendError, load
from alula.frontend.comparison import compare
from alula.frontend.float_reference import FloatReference
from alula.frontend.original import Original

Change = Callable[[LlamaForCausalLM], nn.Module | None]
VOCABULARY, CONTEXT, HIDDEN = 150, 300, 32


def build(vocabulary: int = VOCABULARY, **options: Any) -> LlamaForCausalLM:
    config = LlamaConfig(
        vocab_size=vocabulary,
        hidden_size=HIDDEN,
        intermediate_size=48,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=CONTEXT,
        **options,
    )
    torch.manual_seed(3)
    model = LlamaForCausalLM(config).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.ndim == 2:
                parameter.normal_(0, 0.15)
    return model


def results(place: Callable[[LlamaForCausalLM], nn.Module], change: Callable) -> Change:
    """A change of what a submodule gives: ``change(result, its first argument)``."""

    def apply(model: LlamaForCausalLM) -> None:
        def hook(module: nn.Module, given: tuple, result: Any) -> Any:
            return change(result, given[0] if given else None)

        place(model).register_forward_hook(hook)

    return apply


def logits(change: Callable[[Tensor], Tensor]) -> Change:
    """A change of the logits ``[1, tokens, vocabulary]``."""
    return results(lambda model: model.lm_head, lambda result, given: change(result))


def every(kind: str, change: Callable) -> Change:
    """A change of what a projection of every layer gives."""

    def apply(model: LlamaForCausalLM) -> None:
        for index in range(len(model.model.layers)):
            results(lambda model: model.model.layers[index].get_submodule(kind), change)(model)  # noqa: B023

    return apply


def attributes(**values: Any) -> Change:
    """Other attributes of every submodule that has them."""

    def apply(model: LlamaForCausalLM) -> None:
        for module in model.modules():
            for name, value in values.items():
                if hasattr(module, name):
                    setattr(module, name, value)

    return apply


def masked(mask: Callable[[Tensor, Tensor, Tensor], Tensor]) -> Change:
    """Attention scores that ``mask(ids, query positions, key positions)`` is added to."""

    def apply(model: LlamaForCausalLM) -> nn.Module:
        run = model.forward

        def forward(input_ids: Tensor, **options: Any) -> Any:
            places = torch.arange(input_ids.shape[1])
            added = mask(input_ids[0], places[:, None], places[None])
            causal = torch.full(added.shape, -1e30).triu(1)
            return run(input_ids, attention_mask=(added + causal)[None, None], **options)

        model.forward = forward
        return model

    return apply


def late_ntk(model: LlamaForCausalLM) -> None:
    rotary = model.model.rotary_emb
    run, usual = rotary.forward, rotary.inv_freq.clone()

    def forward(x: Tensor, position_ids: Tensor) -> Any:
        length = position_ids.shape[-1]
        rotary.inv_freq = usual * min(1.0, 200 / length)
        return run(x, position_ids)

    rotary.forward = forward


def by_id_in_python(model: LlamaForCausalLM) -> nn.Module:
    run = model.forward

    def forward(input_ids: Tensor, **options: Any) -> Any:
        result = run(input_ids, **options)
        if 99 in input_ids[0].tolist():
            result.logits = result.logits * 1.1
        return result

    model.forward = forward
    return model


def every_tenth_call(model: LlamaForCausalLM) -> None:
    calls = [0]

    def change(result: Tensor, given: Tensor) -> Tensor:
        calls[0] += 1
        return result * 2 if calls[0] % 10 == 0 else result

    results(lambda model: model.model.layers[1].mlp, change)(model)


def lora(model: LlamaForCausalLM) -> None:
    down, up = torch.randn(2, HIDDEN) * 0.1, torch.randn(HIDDEN, 2) * 0.1
    results(
        lambda model: model.model.layers[0].self_attn.q_proj,
        lambda result, given: result + given @ down.T @ up.T,
    )(model)


def shared_layers(model: LlamaForCausalLM) -> None:
    model.model.layers[1] = model.model.layers[0]


def first(model: LlamaForCausalLM) -> nn.Module:
    return model.model.layers[0].mlp


def embedding(model: LlamaForCausalLM) -> nn.Module:
    return model.model.embed_tokens


def length(values: Tensor) -> int:
    return values.shape[1]


REFUSED: dict[str, tuple[Change, str]] = {
    "a window": (
        masked(lambda ids, q, k: torch.where(q - k >= 200, -1e30, 0.0)),
        r"layers\.0 must match the module at position 200 of \d+, .* up to a context of 1\d\d it",
    ),
    "log-n attention": (
        every(
            "self_attn.q_proj",
            lambda result, given: (
                result
                * (torch.arange(1, length(result) + 1).log() / math.log(128)).clamp(min=1)[:, None]
            ),
        ),
        r"layers\.0 must match the module at position 12\d",
    ),
    "NTK past a length": (late_ntk, r"layers\.0 must match .* up to a context of 1\d\d it does"),
    "distances that count late": (
        masked(lambda ids, q, k: -0.05 * (q - k - 150).clamp(min=0)),
        r"layers\.0 must match the module at position 15\d of",
    ),
    "a mask by id": (
        masked(lambda ids, q, k: torch.where(ids == 77, -1e4, 0.0)[None].expand(q.shape[0], -1)),
        r"layers\.0 must match the module at position \d+ of",
    ),
    "documents apart": (
        masked(
            lambda ids, q, k: torch.where(
                (ids == 2).cumsum(0)[:, None] == (ids == 2).cumsum(0), 0.0, -1e30
            )
        ),
        r"layers\.0 must match",
    ),
    "rows of the embedding by id": (
        results(
            embedding,
            lambda result, given: torch.where((given == 123)[..., None], 1.5 * result, result),
        ),
        "the model must match the module at position",
    ),
    "ids in Python": (by_id_in_python, "head must match"),
    "a soft cap": (logits(lambda values: 5 * torch.tanh(values / 5)), "head must match"),
    "an ablated MLP": (results(first, lambda result, given: 0 * result), r"layers\.0 must match"),
    "a gain of 1.001": (
        results(first, lambda result, given: 1.001 * result),
        r"layers\.0 must match",
    ),
    "a gate by value": (
        results(first, lambda result, given: result * torch.where(given.sum(-1, True) > 5, 1.2, 1)),
        r"layers\.0 must match",
    ),
    "clipped values": (
        results(first, lambda result, given: result.clamp(-1, 1)),
        r"layers\.0 must match",
    ),
    "bfloat16 inside": (
        results(first, lambda result, given: result.bfloat16().float()),
        r"layers\.0 must match",
    ),
    "positions modulo 97": (
        results(
            first,
            lambda result, given: (
                result * (torch.arange(length(result)) % 97 != 96).float()[:, None]
            ),
        ),
        r"layers\.0 must match the module at position 96",
    ),
    "odd lengths": (
        logits(lambda values: values * 1.01 if length(values) % 2 else values),
        "head must match",
    ),
    "some lengths": (
        logits(lambda values: values * 1.01 if 220 < length(values) < 270 else values),
        r"head must match .* up to a context of 2\d\d it does",
    ),
    "one layer's scale": (
        lambda model: setattr(model.model.layers[1].self_attn, "scaling", 0.2),
        r"layers\.1 must match",
    ),
    "gated attention": (
        every("self_attn.o_proj", lambda result, given: result * result.sigmoid()),
        r"layers\.0 must match",
    ),
    "LoRA": (lora, r"layers\.0 must match"),
    "a biased head": (
        lambda model: setattr(model.lm_head, "bias", nn.Parameter(torch.ones(VOCABULARY))),
        "is not supported",
    ),
    "dropout": (
        results(first, lambda result, given: F.dropout(result, 0.1, True)),
        "must give the same logits every time",
    ),
    "training": (
        lambda model: attributes(attention_dropout=0.2)(model.train()),
        r"must be in evaluation mode, not in training mode, .*: call \.eval\(\)",
    ),
    "every tenth call": (every_tenth_call, "must match"),
    "layers that share a cache": (
        shared_layers,
        "must give the same logits with use_cache=False, not differ",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_no_reading_equals_is_refused(name: str) -> None:
    change, message = REFUSED[name]
    model = build()
    with pytest.raises(FrontendError, match=message) as caught:
        load(change(model) or model)
    assert "\n" not in str(caught.value) or "is not supported" in message


def weighted(model: LlamaForCausalLM) -> None:
    class Larger(nn.Module):
        def forward(self, weight: Tensor) -> Tensor:
            return 1.1 * weight

    parametrize.register_parametrization(model.model.layers[0].mlp.up_proj, "weight", Larger())


def normed(model: LlamaForCausalLM) -> None:
    parametrizations.weight_norm(model.model.layers[0].mlp.up_proj)


def slowed(model: LlamaForCausalLM) -> None:
    model.model.rotary_emb.inv_freq *= 0.9


def in_float64(model: LlamaForCausalLM) -> None:
    mlp = model.model.layers[0].mlp
    exact = copy.deepcopy(mlp).double()
    mlp.forward = lambda x: exact(x.double()).float()


def dropped(model: LlamaForCausalLM) -> None:
    model.model.layers[1].forward = lambda hidden, *args, **options: hidden


def retied(model: LlamaForCausalLM) -> None:
    model.lm_head.weight = model.model.embed_tokens.weight


class Renamed(nn.Module):
    """Gives a dictionary, a cache in it."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.inner = model
        self.max_seq_len = CONTEXT

    def forward(self, ids: Tensor) -> dict[str, Any]:
        result = self.inner(ids)
        return {"loss": None, "cache": result.past_key_values, "logits": result.logits}


READ: dict[str, Change] = {
    "as it is": lambda model: None,
    "another scale": attributes(scaling=0.2),
    "another activation": attributes(act_fn=nn.GELU()),
    "another epsilon": attributes(variance_epsilon=1e-3),
    "edited frequencies": slowed,
    "parametrised weights": weighted,
    "weight norm": normed,
    "a layer dropped": dropped,
    "float64 inside": in_float64,
    "a head tied later": retied,
    "training mode without dropout": lambda model: model.train(),
    "a dictionary with a cache": Renamed,
}


@pytest.mark.parametrize("name", READ)
def test_what_a_module_does_counts(name: str) -> None:
    model = build()
    changed = READ[name](model) or model
    checkpoint = load(changed)
    assert checkpoint.architecture.max_context == CONTEXT
    assert checkpoint.notes == ()
    assert checkpoint.original is not None
    assert checkpoint.original.module is changed
    text = torch.randint(VOCABULARY, (CONTEXT,), generator=torch.Generator().manual_seed(9))
    compare(FloatReference(checkpoint), Original(changed, "it"), text.tolist())


def test_a_context_that_is_asked_for_is_the_one_compared() -> None:
    windowed = REFUSED["a window"][0]
    model = build()
    assert load(windowed(model) or model, context=190).architecture.max_context == 190
    with pytest.raises(FrontendError, match="at position 200 of 2"):
        load(model, context=260)


def test_weights_must_stay_as_they_were() -> None:
    model = build()
    checkpoint = load(model)
    with torch.no_grad():
        model.model.layers[1].mlp.up_proj.weight[0, 0] += 1
    checkpoint.tensor("layers.0.mlp.up.weight")
    with pytest.raises(FrontendError, match=r"layers\.1\.mlp\.up\.weight must be as it was when"):
        checkpoint.tensor("layers.1.mlp.up.weight")
    assert load(model).content_id != checkpoint.content_id


LARGE = 70000


def by_large_id(model: LlamaForCausalLM) -> None:
    results(
        embedding,
        lambda result, given: torch.where((given == 60001)[..., None], 2 * result, result),
    )(model)


def other_row(model: LlamaForCausalLM) -> None:
    table = model.model.embed_tokens.weight.detach().clone()
    table[60001] *= 2
    model.model.embed_tokens.forward = lambda ids: F.embedding(ids, table)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (by_large_id, r"ids must do no more than choose a row .*, not go into eq, 1 embeddings"),
        (by_id_in_python, r"ids must do no more than choose a row .*, not go into tolist"),
    ],
)
def test_a_vocabulary_too_large_to_try_is_followed(change: Change, message: str) -> None:
    model = build(LARGE)
    with pytest.raises(FrontendError, match=message):
        load(change(model) or model, context=64)


def test_rows_from_elsewhere_are_the_ones_read() -> None:
    model = build(LARGE)
    other_row(model)
    actual = load(model, context=64).tensor("embed.weight")[60001]
    expected = 2 * model.model.embed_tokens.weight[60001]
    torch.testing.assert_close(torch.from_numpy(actual), expected.detach())


def notes_of(checkpoint: Checkpoint) -> str:
    return "\n".join(checkpoint.notes)


def test_a_large_model_is_compared_as_far_as_it_affords(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("alula.frontend.proof_texts._PRODUCTS", 1e6)
    checkpoint = load(build())
    assert checkpoint.architecture.max_context == 256
    assert notes_of(checkpoint).startswith("context limited from 300 to 256, the longest text")
    assert load(build(), context=300).architecture.max_context == 300
