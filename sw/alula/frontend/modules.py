"""A torch module as a Checkpoint: read, then compared with itself."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from torch import nn

from alula.frontend import exported, huggingface
from alula.frontend.checkpoint import Checkpoint
from alula.frontend.content import Progress
from alula.frontend.original import Original
from alula.frontend.proof import ModelsDiffer, prove
from alula.frontend.refusal import FrontendError, UnsupportedModel


def load_module(module: Any, source: str, progress: Progress, context: int | None) -> Checkpoint:
    """A module that maps ids ``[1, tokens]`` to logits ``[1, tokens, vocabulary]``.

    A transformers model of a known family is read by its configuration and state, any other module
    by what its graph does, and so is a model whose code does not do what its configuration says.
    Either reading is compared with the module; see `prove` for ``context`` and ``progress``. The
    checkpoint's ``original`` is the module.

    Raises:
        FrontendError: There is no module, it cannot be run or read, or no reading equals it.
        UnsupportedModel: A part of it is not of the supported shape.
    """
    if not isinstance(module, nn.Module):
        raise FrontendError(f"{source} must be a torch.nn.Module, not {type(module).__name__}")
    original = Original(module, source)
    original.check_steady()
    errors: list[FrontendError] = []
    for read in _readings(module, original):
        try:
            return prove(read(), original, progress, context).sealed(original)
        except FrontendError as error:
            errors.append(error)
    telling = (one for one in errors if isinstance(one, ModelsDiffer | UnsupportedModel))
    raise next(telling, errors[-1])


def _readings(module: nn.Module, original: Original) -> Iterator[Callable[[], Checkpoint]]:
    config = getattr(module, "config", None)
    if getattr(config, "model_type", None) in huggingface.FAMILIES and hasattr(config, "to_dict"):
        yield lambda: huggingface.load_pretrained(module)
    yield lambda: exported.load_module(original)
