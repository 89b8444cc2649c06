"""Alula's reading of a model against the model itself, on one text."""

from collections.abc import Sequence

import torch
from torch import Tensor

from alula.frontend.float_reference import FloatReference
from alula.frontend.original import Original
from alula.frontend.refusal import FrontendError
from alula.frontend.rounding import difference, rounding

_MARGIN = 16
"""How far beyond the measured rounding a difference counts: two orders of float32 operations differ
by up to three times the rounding."""

_MEASURED = 128
"""Tokens over which rounding is measured. With rope it grows with the position from there on, as
the rounding of angles does."""

_LARGEST = 0.05
_STEP = 256


class ModelsDiffer(FrontendError):
    """Two readings of a model differ.

    Attributes:
        position: The first position where they do.
    """

    def __init__(self, message: str, position: int) -> None:
        super().__init__(message)
        self.position = position


class Tolerance:
    """The largest difference that float32 rounding explains in a model, measured on the model.

    Args:
        reference: Alula's reading of it.

    Attributes:
        rounding: The `rounding` of a text.
    """

    def __init__(self, reference: FloatReference) -> None:
        shape = reference.architecture
        length = min(_MEASURED, shape.max_context)
        generator = torch.Generator().manual_seed(1)
        text = torch.randint(shape.vocab_size, (length,), generator=generator).tolist()
        self.rounding = rounding(reference.checkpoint, text)
        self._grows = shape.position == "rope"

    def at(self, positions: Tensor) -> Tensor:
        """The tolerance at some positions, by the range of the values there."""
        growth = (positions / _MEASURED).clamp(min=1) if self._grows else torch.ones(len(positions))
        return (_MARGIN * self.rounding * growth).clamp(max=_LARGEST)


class Comparison:
    """Compares the logits of texts, within what float32 rounding does to this model.

    Args:
        reference: Alula's reading.
        original: The model itself.

    Raises:
        FrontendError: float32 gives other logits than exact numbers, so that no difference tells.
    """

    def __init__(self, reference: FloatReference, original: Original) -> None:
        self.reference = reference
        self.original = original
        self._tolerance = Tolerance(reference)
        if self._tolerance.rounding > _LARGEST:
            raise FrontendError(
                f"float32 must give the logits of exact numbers, not differ by "
                f"{self._tolerance.rounding:.2g} of their range ({original.source})"
            )

    @torch.inference_mode()
    def compare(self, ids: Sequence[int]) -> None:
        """Compares a text.

        Raises:
            ModelsDiffer: Names the first position that differs and the unit where they part.
            FrontendError: The original cannot run the text.
        """
        original, reference = self.original, self.reference
        theirs = original.logits(ids)
        size = reference.architecture.vocab_size
        if theirs.shape[1] != size:
            raise FrontendError(
                f"the {original.label} must give {size} logits a token, as many as the embedding "
                f"has rows, not {theirs.shape[1]} ({original.source})"
            )
        hidden = reference.hidden(ids)
        parts = zip(hidden.split(_STEP), theirs.split(_STEP), strict=True)
        differences = torch.cat([difference(reference.head(some), given) for some, given in parts])
        beyond = (differences > self._tolerance.at(torch.arange(len(ids)))).nonzero()
        if len(beyond):
            position = int(beyond[0])
            raise ModelsDiffer(
                f"{self._parting(ids, position)} must match the {original.label} at position "
                f"{position} of {len(ids)}, not differ by {differences[position]:.2g} of its range "
                f"({original.source})",
                position,
            )

    def _parting(self, ids: Sequence[int], position: int) -> str:
        """The unit where the two part: the first whose result the original never has.

        Each unit's result is searched among what passes between the original's parts. Where none
        is found, nothing is known of the place.
        """
        states = self._states(ids, position)
        limit = self._tolerance.at(torch.tensor([position]))
        found = torch.zeros(len(states), dtype=torch.bool)
        size = states.shape[1]

        def visit(value: Tensor) -> None:
            if value.shape[-1:] == (size,) and value.numel() == len(ids) * size:
                row = value.reshape(len(ids), size)[position].float()
                found.logical_or_(difference(states, row.expand_as(states)) <= limit)

        with self.original.watched(visit):
            self.original.logits(ids)
        if not found.any():
            return "the model"
        return self.reference.architecture.units[int(found.nonzero().max()) + 1]

    def _states(self, ids: Sequence[int], position: int) -> Tensor:
        """Hidden states at a position after ``embed`` and each layer, ``[units - 1, hidden]``."""
        positions = range(len(ids))
        hidden = self.reference.embed(ids, positions)
        states = [hidden[position]]
        for index in range(self.reference.architecture.layers):
            hidden = self.reference.layer(index, hidden, positions)
            states.append(hidden[position])
        return torch.stack(states)


def compare(reference: FloatReference, original: Original, ids: Sequence[int]) -> None:
    """Compares the logits of one text; see `Comparison`."""
    Comparison(reference, original).compare(ids)
