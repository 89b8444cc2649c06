"""Whether Alula reads a module as it is: compared over texts of many kinds and lengths."""

import torch
from torch import Tensor

from alula.frontend.checkpoint import Checkpoint
from alula.frontend.comparison import Comparison
from alula.frontend.float_reference import FloatReference
from alula.frontend.id_uses import id_uses
from alula.frontend.original import Original
from alula.frontend.proof_texts import affordable_length, every_id_is_affordable, proof_texts
from alula.frontend.refusal import FrontendError
from alula.progress import Progress, silent

_SPECIAL = 8
_LONG = 64


def prove(
    checkpoint: Checkpoint,
    original: Original,
    progress: Progress = silent,
    context: int | None = None,
) -> Checkpoint:
    """Compares a reading with the module that it was read from.

    Args:
        checkpoint: The reading.
        original: The module.
        progress: Told how many tokens were compared.
        context: Tokens of the longest text; by default what `affordable_length` says. Never more
            than the checkpoint's own context.

    Returns:
        The checkpoint, its context limited to the longest text.

    Raises:
        ModelsDiffer: The reading is wrong; names position and unit.
        FrontendError: The module cannot be compared.
    """
    shape = checkpoint.architecture
    longest = min(context or affordable_length(shape), shape.max_context)
    comparison = Comparison(FloatReference(checkpoint), original)
    if not every_id_is_affordable(shape):
        _check_embedding(checkpoint, original)
    texts = list(proof_texts(shape, longest, _special_ids(original, shape.vocab_size)))
    total, done, equal = sum(map(len, texts)), 0, 0
    for text in texts:
        try:
            comparison.compare(text)
        except FrontendError as error:
            if _LONG <= equal < len(text) and _equal(comparison, text[:equal]):
                error.args = (f"{error}; up to a context of {equal} it does",)
            raise
        done, equal = done + len(text), max(equal, len(text))
        progress("comparing with the module", done, total)
    if longest == shape.max_context:
        return checkpoint
    note = (
        f"context limited from {shape.max_context} to {longest}, the longest text compared with "
        f"the module; ask for a context to compare a longer one"
    )
    return checkpoint.narrowed(longest, () if context else (note,))


def _equal(comparison: Comparison, text: list[int]) -> bool:
    try:
        comparison.compare(text)
    except FrontendError:
        return False
    return True


def _special_ids(original: Original, vocabulary: int) -> set[int]:
    """The first and the last id, and those that the module names as attributes."""
    places = [part.__dict__ for part in original.module.modules()]
    config = getattr(original.module, "config", None)
    if config is not None and hasattr(config, "to_dict"):
        places.append(config.to_dict())
    named = {
        value
        for place in places
        for name, value in place.items()
        if isinstance(value, int) and name.endswith(("_id", "_idx", "_token", "_index"))
    }
    inside = sorted(value for value in named if 0 <= value < vocabulary)
    return {0, vocabulary - 1, *inside[:_SPECIAL]}


def _check_embedding(checkpoint: Checkpoint, original: Original) -> None:
    """For a vocabulary that is too large to try every id: ids do nothing but choose a row.

    Raises:
        FrontendError: They do more, or the rows are not the checkpoint's.
    """
    tables, others = id_uses(original.logits, [0, 1, 2])
    if len(tables) != 1 or others:
        used = ", ".join(dict.fromkeys((*others, f"{len(tables)} embeddings")))
        raise FrontendError(
            f"ids must do no more than choose a row of one embedding, where they are too many to "
            f"be tried, not go into {used} ({original.source})"
        )
    rows = torch.from_numpy(checkpoint.tensor("embed.weight"))
    if not _proportional(tables[0].detach().float(), rows):
        raise FrontendError(
            f"embed must hold the rows that the {original.label} looks up, not others "
            f"({original.source})"
        )


def _proportional(table: Tensor, rows: Tensor) -> bool:
    if table.shape != rows.shape:
        return False
    factor = (table * rows).sum() / rows.square().sum().clamp(min=1e-30)
    return torch.allclose(table, factor * rows, rtol=1e-5, atol=1e-6 * float(table.abs().max()))
