"""Which blocks of positions a query attends to, where that is not all of them."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Self

BLOCK = 64
"""Positions of a block."""


@dataclass(frozen=True, kw_only=True)
class AttentionBlocks:
    """The blocks that a query in block q attends to: its window, and those that are kept for ever.

    The window is block q and those before it, `local` blocks in all. Of the blocks before the
    window each KV head keeps the first `sinks` ones and those whose number, modulo its stride, is
    its offset. A block that has left the window and is not kept is read by no later query, so its
    keys and values are freed (S2-Attention, arXiv 2407.17678).

    Attributes:
        local: blocks of the window, at least 1.
        sinks: blocks at the beginning that are kept, at least 1.
        strides: of each KV head; 0: it keeps no block but the sinks. Else more than `sinks`.
        offsets: of each KV head, `sinks` to before its stride; 0 where there is no stride.

    Raises:
        ValueError: a number is out of range.
    """

    local: int
    sinks: int
    strides: tuple[int, ...]
    offsets: tuple[int, ...]

    def __post_init__(self) -> None:
        for name in ("local", "sinks"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1, not {getattr(self, name)}")
        if len(self.offsets) != len(self.strides):
            raise ValueError(
                f"offsets must be {len(self.strides)}, one for each stride, not {len(self.offsets)}"
            )
        for stride, offset in zip(self.strides, self.offsets, strict=True):
            if stride and stride <= self.sinks:
                raise ValueError(f"stride must be 0 or more than {self.sinks} sinks, not {stride}")
            low, high = (self.sinks, stride - 1) if stride else (0, 0)
            if not low <= offset <= high:
                raise ValueError(f"offset must be {low} to {high}, not {offset}")

    @classmethod
    def spread(cls, heads: int, *, local: int, sinks: int, stride: int) -> Self:
        """One stride for all KV heads, and offsets so that they keep different blocks."""
        strides = (stride,) * heads
        offsets = cls.spread_offsets(strides, sinks)
        return cls(local=local, sinks=sinks, strides=strides, offsets=offsets)

    @staticmethod
    def spread_offsets(strides: Sequence[int], sinks: int) -> tuple[int, ...]:
        """Offsets for KV heads of these strides that are far from each other."""
        heads = len(strides)
        return tuple(
            sinks + head * (stride - sinks) // heads if stride else 0
            for head, stride in enumerate(strides)
        )

    def window_start(self, block: int) -> int:
        """The first block of the window of a query in `block`."""
        return max(0, block + 1 - self.local)

    def kept_before(self, head: int, block: int) -> int:
        """How many of the blocks before `block` a KV head keeps for ever."""
        stride = self.strides[head]
        strided = (block + stride - 1 - self.offsets[head]) // stride if stride else 0
        return min(block, self.sinks) + strided

    def kept_place(self, head: int, block: int) -> int | None:
        """Where among those that it keeps a KV head has a block; None if it does not keep it.

        A stride's period without a block of its own leaves no gap: sinks end before any offset.
        """
        if block < self.sinks:
            return block
        stride = self.strides[head]
        on = stride and block % stride == self.offsets[head]
        return self.sinks + block // stride if on else None

    def lasts(self, head: int, block: int, position: int) -> bool:
        """Whether a query at a position attends to a block of before, or a later one may."""
        start = self.window_start(position // BLOCK)
        return block >= start or self.kept_place(head, block) is not None

    def kept_places(self, positions: int) -> int:
        """Places that a KV head needs for the blocks that it keeps out of so many positions."""
        blocks = -(-positions // BLOCK)
        strided = (1 + (blocks - 1) // stride if stride else 0 for stride in self.strides)
        return min(blocks, self.sinks) + max(strided)

    def attended(self, head: int, position: int) -> int:
        """Positions that a query at `position` attends to, its own included."""
        start = self.window_start(position // BLOCK)
        return BLOCK * self.kept_before(head, start) + position + 1 - BLOCK * start

    def share(self, positions: int) -> float:
        """Share of all blocks that a query behind so many positions attends to, mean over heads."""
        heads = range(len(self.strides))
        return sum(self.attended(head, positions - 1) for head in heads) / (
            len(self.strides) * positions
        )

    def to_json(self) -> dict[str, object]:
        """Plain JSON data."""
        lists: dict[str, object] = {"strides": list(self.strides), "offsets": list(self.offsets)}
        return asdict(self) | lists

    @classmethod
    def from_json(cls, data: Mapping[str, object]) -> Self:
        """The inverse of `to_json`. ValueError or TypeError on anything else."""
        values = dict(data)
        for name in ("strides", "offsets"):
            values[name] = tuple(values[name])  # type: ignore[arg-type]
        return cls(**values)  # type: ignore[arg-type]
