"""How many memory blocks of a chip the buffers of a design take."""

from collections.abc import Sequence
from dataclasses import dataclass

BLOCK_BITS = 72
BRAM36_DEPTH = 512
URAM_DEPTH = 4096


@dataclass(frozen=True)
class Bank:
    """One on-chip memory, `copies` times: words of `width_bytes`, `depth` words deep."""

    name: str
    width_bytes: int
    depth: int
    copies: int

    @property
    def bytes(self) -> int:
        """Size of all copies in bytes."""
        return self.width_bytes * self.depth * self.copies

    def blocks(self, block_depth: int) -> int:
        """Return the 72-bit wide blocks of `block_depth` words that all copies take."""
        wide = -(-self.width_bytes * 8 // BLOCK_BITS)
        return self.copies * wide * -(-self.depth // block_depth)


@dataclass(frozen=True)
class Blocks:
    """Memory blocks: BRAM36 of 36 Kbit and UltraRAM of 288 Kbit."""

    bram36: int
    uram: int

    def fits(self, limit: "Blocks") -> bool:
        """Whether this many blocks are within `limit`."""
        return self.bram36 <= limit.bram36 and self.uram <= limit.uram

    def __str__(self) -> str:
        return f"{self.bram36} BRAM36 and {self.uram} UltraRAM"


@dataclass(frozen=True)
class MemoryBinding:
    """Where memories are kept: the blocks that they take, and the banks in UltraRAM by name."""

    blocks: Blocks
    ultra: frozenset[str]


def bind_memories(banks: Sequence[Bank], limit: Blocks) -> MemoryBinding:
    """Return where the banks are kept, the largest placed first.

    A bank that fills at least half of an UltraRAM's depth goes there, another to block RAM; where
    no blocks are left, to the other kind if it has room.
    """
    bram36 = uram = 0
    ultra = set()
    for bank in sorted(banks, key=lambda bank: -bank.bytes):
        in_bram, in_uram = bank.blocks(BRAM36_DEPTH), bank.blocks(URAM_DEPTH)
        bram_has_room = bram36 + in_bram <= limit.bram36
        uram_has_room = uram + in_uram <= limit.uram
        deep = limit.uram > 0 and 2 * bank.depth >= URAM_DEPTH
        if (deep and (uram_has_room or not bram_has_room)) or (uram_has_room and not bram_has_room):
            uram += in_uram
            ultra.add(bank.name)
        else:
            bram36 += in_bram
    return MemoryBinding(Blocks(bram36, uram), frozenset(ultra))
