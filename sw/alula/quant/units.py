"""A model as its units, run one after the other: what references share."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Generic, Protocol, TypeVar

import torch
from torch import Tensor

from alula.ir import Architecture


class _Cache(Protocol):
    @property
    def length(self) -> int:
        """Tokens held."""
        ...


Cache = TypeVar("Cache", bound=_Cache)


class UnitModel(ABC, Generic[Cache]):
    """A model that runs unit by unit.

    Attributes:
        architecture: its shape.
        device: where it runs.
    """

    architecture: Architecture
    device: torch.device

    @abstractmethod
    def embed(self, ids: Tensor | Sequence[int], positions: Tensor | Sequence[int]) -> Tensor:
        """Hidden states ``[tokens, hidden_size]`` of token ids at positions."""

    @abstractmethod
    def layer(
        self,
        index: int,
        hidden: Tensor,
        positions: Tensor | Sequence[int],
        cache: Cache | None = None,
    ) -> Tensor:
        """A layer's output for hidden states that follow those in `cache`, which takes them."""

    @abstractmethod
    def head(self, hidden: Tensor) -> Tensor:
        """Logits ``[tokens, vocab_size]`` of the last layer's output: final norm and head."""

    def hidden(self, ids: Tensor | Sequence[int], caches: Sequence[Cache] | None = None) -> Tensor:
        """The last layer's output for tokens that follow those in `caches` (none: a new text)."""
        start = caches[0].length if caches else 0
        positions = torch.arange(start, start + len(ids), device=self.device)
        hidden = self.embed(ids, positions)
        for index in range(self.architecture.layers):
            hidden = self.layer(index, hidden, positions, caches[index] if caches else None)
        return hidden

    def logits(self, ids: Tensor | Sequence[int], caches: Sequence[Cache] | None = None) -> Tensor:
        """Logits ``[tokens, vocab_size]`` for tokens that follow those in `caches`.

        ValueError if there are no ids, an id is not in the vocabulary, or the text outgrows the
        context.
        """
        return self.head(self.hidden(ids, caches))

    def _integers(self, name: str, values: Tensor | Sequence[int], limit: int) -> Tensor:
        """A row of ids or positions. ValueError if one is not from 0 to below `limit`."""
        tensor = torch.as_tensor(values, dtype=torch.int64, device=self.device)
        if tensor.ndim != 1 or not len(tensor):
            raise ValueError(f"{name} must be a row of numbers, not of shape {tuple(tensor.shape)}")
        low, high = (int(bound) for bound in torch.aminmax(tensor))
        if low < 0 or high >= limit:
            raise ValueError(f"{name} must be 0 to {limit - 1}, not {low if low < 0 else high}")
        return tensor
