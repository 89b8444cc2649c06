"""A model's float reference against the model itself, and the place where they part."""

from collections.abc import Callable

import pytest
import torch
from transformers import PreTrainedModel

from alula.frontend import FrontendError, load
from alula.frontend.comparison import compare
from alula.frontend.float_reference import FloatReference
from alula.frontend.original import Original
from alula.frontend.rounding import difference

TEXT = list(range(3, 63))
INFINITY, NAN = torch.inf, torch.nan


@pytest.mark.parametrize(
    ("actual", "expected", "found"),
    [
        ((1.0, -3.0), (1.0, -1.0), 1.0),
        ((4.001, 4.0), (4.0, 4.0), 0.001 / 4),
        ((0.0, 0.0), (0.0, 0.0), 0.0),
        ((1.0, -INFINITY), (2.0, -INFINITY), 0.5),
        ((1.0, 5.0), (1.0, -INFINITY), INFINITY),
        ((1.0, INFINITY), (1.0, -INFINITY), INFINITY),
        ((1.0, NAN), (1.0, 2.0), INFINITY),
        ((1.0, 2.0), (1.0, NAN), INFINITY),
    ],
)
def test_the_difference_of_values(actual: tuple, expected: tuple, found: float) -> None:
    (worst,) = difference(torch.tensor([actual]), torch.tensor([expected]))
    assert worst.item() == pytest.approx(found, rel=1e-3)


@pytest.fixture
def pair(random_model) -> tuple[FloatReference, PreTrainedModel]:
    """A reading of a model, and the model."""
    model = random_model("llama3")
    return FloatReference(load(model)), model


def ablated(model: PreTrainedModel) -> None:
    model.model.layers[1].mlp.register_forward_hook(lambda module, given, result: 0 * result)


def rescaled(model: PreTrainedModel) -> None:
    model.model.layers[0].self_attn.scaling *= 1.05


def capped(model: PreTrainedModel) -> None:
    model.lm_head.register_forward_hook(lambda module, given, result: result.tanh())


def turned(model: PreTrainedModel) -> None:
    model.model.rotary_emb.inv_freq *= 1.1


def lifted(model: PreTrainedModel) -> None:
    def lift(module, given, result):
        return torch.where(given[0][..., None] == 40, result + 1, result)

    model.model.embed_tokens.register_forward_hook(lift)


@pytest.mark.parametrize("length", [1, 2, 60])
def test_the_same_model_is_equal(length: int, pair) -> None:
    reference, model = pair
    compare(reference, Original(model, "it"), TEXT[:length])


@pytest.mark.parametrize(
    ("change", "unit", "position"),
    [
        (ablated, "layers.1", 0),
        (rescaled, r"layers\.0", 1),
        (capped, "head", 0),
        (turned, r"layers\.0", 1),
        (lifted, "the model", 37),
    ],
)
def test_what_differs_is_named(
    change: Callable[[PreTrainedModel], None], unit: str, position: int, pair
) -> None:
    reference, model = pair
    change(model)
    message = rf"^{unit} must match the module at position {position} of 60, not differ by \S+ of"
    with pytest.raises(FrontendError, match=message):
        compare(reference, Original(model, "it"), TEXT)
