"""Keys and values of one layer, on torch: as they are, or in the contract's format."""

import torch
from torch import Tensor


class LayerCache:
    """Keys (rope applied) and values of one layer, a row for each token, oldest first.

    Attributes:
        length: tokens held.

    Args:
        columns: what a token's row has, by name: no rows of it, ``[0, ...]``.
    """

    def __init__(self, **columns: Tensor) -> None:
        self.length = 0
        self._columns = columns

    def held(self, name: str) -> Tensor:
        """A column, ``[length, ...]``."""
        return self._columns[name][: self.length]

    @property
    def keys(self) -> Tensor:
        """``[length, kv_heads, head_dim]``."""
        return self.held("keys")

    @property
    def values(self) -> Tensor:
        """``[length, kv_heads, head_dim]``."""
        return self.held("values")

    def append(self, *rows: Tensor) -> None:
        """Adds tokens, their rows in the order of the columns.

        Raises:
            ValueError: A shape or a type differs.
        """
        end = self.length + rows[0].shape[0]
        for (name, column), new in zip(self._columns.items(), rows, strict=True):
            wanted = (rows[0].shape[0], *column.shape[1:])
            if new.dtype != column.dtype or new.shape != wanted:
                raise ValueError(
                    f"{name} must be {column.dtype} {wanted}, not {new.dtype} {tuple(new.shape)}"
                )
            if column.shape[0] < end:
                larger = column.new_empty((max(end, 2 * self.length), *column.shape[1:]))
                larger[: self.length] = column[: self.length]
                self._columns[name] = column = larger
            column[self.length : end] = new
        self.length = end

    def truncate(self, length: int) -> None:
        """Forgets all but the oldest `length` tokens. ValueError if fewer are held."""
        if not 0 <= length <= self.length:
            raise ValueError(f"length must be 0 to {self.length}, not {length}")
        self.length = length


class IntegerCache(LayerCache):
    """Keys and values in int8, with a scale for each token and KV head."""

    def __init__(self, kv_heads: int, head_dim: int, device: torch.device) -> None:
        rows = torch.zeros((0, kv_heads, head_dim), dtype=torch.int8, device=device)
        scales = torch.zeros((0, kv_heads), device=device)
        super().__init__(keys=rows, key_scales=scales, values=rows, value_scales=scales)

    @property
    def key_scales(self) -> Tensor:
        """float32 ``[length, kv_heads]``, bf16 values."""
        return self.held("key_scales")

    @property
    def value_scales(self) -> Tensor:
        """float32 ``[length, kv_heads]``, bf16 values."""
        return self.held("value_scales")
