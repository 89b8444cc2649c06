"""Whether Alula reads a model as it is: its float reference against the model itself."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from alula.frontend.float_reference import FloatReference
from alula.frontend.original import Original
from alula.frontend.refusal import FrontendError

TOLERANCE = 1e-4
"""Largest difference of equal results, relative to the range of values at a position: two orders
of float32 operations differ by some 1e-6 a layer, another activation or scale by 1e-3 and more."""

ROPE_TOLERANCE = 2.0**-23
"""Added for each position: float32 angles of rope are rounded to that, Alula's own are exact."""

_STEP = 256


def compare(reference: FloatReference, original: Original, ids: Sequence[int]) -> None:
    """Compares the logits of a text.

    Raises:
        FrontendError: They differ; names the first position and the unit where they part, or what
            the original cannot do.
    """
    theirs = original.logits(ids)
    vocabulary = reference.architecture.vocab_size
    if theirs.shape[1] != vocabulary:
        raise FrontendError(
            f"logits must be {vocabulary} a token by the embedding, not {theirs.shape[1]} "
            f"({original.source})"
        )
    hidden = reference.hidden(ids)
    parts = zip(hidden.split(_STEP), theirs.split(_STEP), strict=True)
    differences = torch.cat([difference(reference.head(some), given) for some, given in parts])
    wrong = _wrong(differences)
    if wrong is None:
        return
    unit = parting(reference, original, ids, wrong)
    raise FrontendError(
        f"{unit} must match the {original.label} at position {wrong} of {len(ids)}, "
        f"not differ by {differences[wrong]:.2g} of its range ({original.source})"
    )


def difference(ours: Tensor, theirs: Tensor) -> Tensor:
    """The largest difference at each position by the range of values there; infinite for NaN.

    Both are ``[tokens, values]``.
    """
    scale = theirs.amax(-1) - theirs.amin(-1)
    worst = (ours - theirs).abs().amax(-1)
    relative = torch.where(worst > 0, worst / scale, 0.0)
    return relative.nan_to_num(nan=torch.inf)


def tolerances(tokens: int) -> Tensor:
    """The largest difference allowed at each position."""
    return TOLERANCE + ROPE_TOLERANCE * torch.arange(tokens)


def _wrong(differences: Tensor) -> int | None:
    """The first position beyond the tolerance."""
    beyond = (differences > tolerances(len(differences))).nonzero()
    return int(beyond[0]) if len(beyond) else None


def parting(
    reference: FloatReference, original: Original, ids: Sequence[int], position: int
) -> str:
    """The unit where the two part at a position: the first whose result the original never has.

    Each unit's result is searched among what passes between the original's parts. Where none is
    found, nothing is known of the place.
    """
    states = _states(reference, ids, position)
    found = _seen(original, ids, position, states)
    if not found.any():
        return "the model"
    return reference.architecture.units[int(found.nonzero().max()) + 1]


def _states(reference: FloatReference, ids: Sequence[int], position: int) -> Tensor:
    """Hidden states at a position after ``embed`` and each layer, ``[units - 1, hidden_size]``."""
    positions = range(len(ids))
    hidden = reference.embed(ids, positions)
    states = [hidden[position]]
    for index in range(reference.architecture.layers):
        hidden = reference.layer(index, hidden, positions)
        states.append(hidden[position])
    return torch.stack(states)


def _seen(original: Original, ids: Sequence[int], position: int, states: Tensor) -> Tensor:
    """Which of the states pass between the original's parts."""
    found = torch.zeros(len(states), dtype=torch.bool)
    limit = tolerances(len(ids))[position]
    size = states.shape[1]

    def visit(value: Tensor) -> None:
        if value.shape[-1:] == (size,) and value.numel() == len(ids) * size:
            row = value.reshape(len(ids), size)[position].float()
            found.logical_or_(difference(row.expand_as(states), states) <= limit)

    with original.watched(visit):
        original.logits(ids)
    return found
