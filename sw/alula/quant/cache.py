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

    def seen(self, tokens: int) -> Tensor:
        """How many tokens each of the last ones attends to: those up to itself, ``[tokens]``."""
        device = self._columns["keys"].device
        return torch.arange(self.length - tokens + 1, self.length + 1, device=device)

    def until(self, stop: int, tokens: int) -> int:
        """Tokens held up to number `stop` of the last ones."""
        return self.length - tokens + min(stop, tokens)

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


class FixedCache(IntegerCache):
    """Keys and values in memory that stays where it is, for steps whose shapes do not change.

    A step is given where its tokens go, and how many rows it looks at: rows beyond what a token may
    see are masked, so that their content does not matter as long as it is finite.

    Args:
        capacity: tokens that there is room for.
        columns: what a token's row has, by name: no rows of it, ``[0, ...]``.
    """

    def __init__(self, capacity: int, **columns: Tensor) -> None:
        LayerCache.__init__(
            self,
            **{name: one.new_zeros((capacity, *one.shape[1:])) for name, one in columns.items()},
        )
        self._positions = torch.zeros(0, dtype=torch.int64)

    def begin(self, positions: Tensor, reach: int) -> None:
        """Take the places of the tokens that come next, and how many rows they look at."""
        self._positions, self.length = positions, reach

    def append(self, *rows: Tensor) -> None:
        """Put rows where `begin` said."""
        for column, new in zip(self._columns.values(), rows, strict=True):
            column.index_copy_(0, self._positions, new)

    def seen(self, tokens: int) -> Tensor:
        """How many rows each token attends to: those up to its own."""
        return self._positions + 1

    def until(self, stop: int, tokens: int) -> int:
        """All rows that the step looks at."""
        return self.length

    def all_rows(self) -> list[Tensor]:
        """The columns whole."""
        return list(self._columns.values())

    def rows(self, name: str, start: int, stop: int) -> Tensor:
        """A column from one token up to another, to be read or written."""
        return self._columns[name][start:stop]
