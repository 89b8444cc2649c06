"""A torch module as a Checkpoint: read, then compared with itself."""

from collections.abc import Callable, Iterator
from typing import Any

from torch import nn

from alula.frontend import exported, huggingface
from alula.frontend.checkpoint import Checkpoint
from alula.frontend.families import family_names
from alula.frontend.original import Original
from alula.frontend.proof import prove
from alula.frontend.refusal import FrontendError, UnsupportedModel
from alula.progress import Progress


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
    unread: list[FrontendError] = []
    different: list[FrontendError] = []
    for read in _readings(module, original):
        try:
            checkpoint = read()
        except FrontendError as error:
            unread.append(error)
            continue
        try:
            return prove(checkpoint, original, progress, context).sealed(original)
        except FrontendError as error:
            different.append(error)
    if different:
        raise different[0]
    raise next((one for one in unread if isinstance(one, UnsupportedModel)), unread[-1])


def _readings(module: nn.Module, original: Original) -> Iterator[Callable[[], Checkpoint]]:
    config = getattr(module, "config", None)
    if getattr(config, "model_type", None) in family_names() and hasattr(config, "to_dict"):
        yield lambda: huggingface.load_pretrained(module)
    yield lambda: exported.load_module(original)
