"""The KV cache of one layer in the contract's format, on torch."""

import torch
from torch import Tensor


class IntegerCache:
    """Keys (rope applied) and values of one layer, int8 with a scale for each token and KV head.

    Attributes:
        length: tokens held.
    """

    def __init__(self, kv_heads: int, head_dim: int, device: torch.device) -> None:
        self.length = 0
        rows = (0, kv_heads)
        self._numbers = torch.zeros((2, *rows, head_dim), dtype=torch.int8, device=device)
        self._scales = torch.zeros((2, *rows), dtype=torch.float32, device=device)

    @property
    def keys(self) -> Tensor:
        """int8 ``[length, kv_heads, head_dim]``."""
        return self._numbers[0, : self.length]

    @property
    def values(self) -> Tensor:
        """int8 ``[length, kv_heads, head_dim]``."""
        return self._numbers[1, : self.length]

    @property
    def key_scales(self) -> Tensor:
        """float32 ``[length, kv_heads]``, bf16 values."""
        return self._scales[0, : self.length]

    @property
    def value_scales(self) -> Tensor:
        """float32 ``[length, kv_heads]``, bf16 values."""
        return self._scales[1, : self.length]

    def append(
        self, keys: Tensor, key_scales: Tensor, values: Tensor, value_scales: Tensor
    ) -> None:
        """Adds tokens; shapes and types are those of the properties.

        Raises:
            ValueError: A shape or a type differs.
        """
        numbers, scales = torch.stack((keys, values)), torch.stack((key_scales, value_scales))
        for name, new, held in (
            ("values", numbers, self._numbers),
            ("scales", scales, self._scales),
        ):
            wanted = (2, keys.shape[0], *held.shape[2:])
            if new.dtype != held.dtype or new.shape != wanted:
                raise ValueError(
                    f"{name} must be {held.dtype} {wanted}, not {new.dtype} {tuple(new.shape)}"
                )
        end = self.length + keys.shape[0]
        self._numbers = _grown(self._numbers, end)
        self._scales = _grown(self._scales, end)
        self._numbers[:, self.length : end] = numbers
        self._scales[:, self.length : end] = scales
        self.length = end

    def truncate(self, length: int) -> None:
        """Forgets all but the oldest `length` tokens. ValueError if fewer are held."""
        if not 0 <= length <= self.length:
            raise ValueError(f"length must be 0 to {self.length}, not {length}")
        self.length = length


def _grown(store: Tensor, needed: int) -> Tensor:
    if store.shape[1] >= needed:
        return store
    larger = store.new_zeros((2, max(needed, 2 * store.shape[1]), *store.shape[2:]))
    larger[:, : store.shape[1]] = store
    return larger
