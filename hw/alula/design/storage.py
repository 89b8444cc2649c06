"""How many memory blocks of a chip the buffers of a design take."""

from collections.abc import Sequence
from dataclasses import dataclass

SHALLOW = 64
"""Words up to which a memory is made of look-up tables."""
BRAM18_WIDTHS = {512: 36, 1024: 18, 2048: 9, 4096: 4, 8192: 2, 16384: 1}
"""Bits of the words of a block RAM of 18 Kbit, by their number: AMD's and Lattice's alike."""
COLUMN = 9
"""Bits that a block memory can write without those beside them: what is written apart has whole
columns of its own (AMD UG573, byte-wide write enable). Narrower blocks have but one column."""
URAM_WIDTH = 72
URAM_DEPTH = 4096
URAM_COLUMN = 8
"""What an UltraRAM can write without the rest: nine columns a word (AMD UG573, as bytes)."""


@dataclass(frozen=True)
class Bank:
    """One on-chip memory, `copies` times: words of `width` bits, `depth` words deep.

    Its name begins with that of the buffer that it is a part of. `piece`: bits of a word that are
    written without the others; 0: whole words.
    """

    name: str
    width: int
    depth: int
    copies: int
    piece: int = 0

    @property
    def buffer(self) -> str:
        """The buffer that it is a part of, or what else it is."""
        return self.name.partition(" ")[0]

    @property
    def bits(self) -> int:
        """Size of all copies in bits."""
        return self.width * self.depth * self.copies

    def in_columns(self, bits: int) -> int:
        """Bits of a word in blocks that write by columns of so many bits."""
        if not self.piece:
            return self.width
        return self.width // self.piece * -(-self.piece // bits) * bits

    @property
    def brams(self) -> int:
        """Block RAMs of 18 Kbit that all copies take, whole ones for each copy."""
        return self.copies * min(
            -(-(self.in_columns(COLUMN) if width >= COLUMN else self.width) // width)
            * -(-self.depth // depth)
            for depth, width in BRAM18_WIDTHS.items()
        )

    @property
    def urams(self) -> int:
        """UltraRAMs that all copies take; words of a deep bank lie beside each other."""
        folded = self.in_columns(URAM_COLUMN) * -(-self.depth // URAM_DEPTH)
        return self.copies * -(-folded // URAM_WIDTH)

    @property
    def deep(self) -> bool:
        """Whether it fills at least half of an UltraRAM's depth."""
        return 2 * self.depth >= URAM_DEPTH


@dataclass(frozen=True)
class Blocks:
    """Memory blocks: block RAM of 36 Kbit, of which there are halves, and UltraRAM of 288 Kbit."""

    bram36: float
    uram: int

    def fits(self, limit: "Blocks") -> bool:
        """Whether this many blocks are within `limit`."""
        return self.bram36 <= limit.bram36 and self.uram <= limit.uram

    def __str__(self) -> str:
        return f"{self.bram36:g} BRAM36 and {self.uram} UltraRAM"


@dataclass(frozen=True)
class MemoryBinding:
    """Where memories are kept: the blocks that they take, and the banks in UltraRAM by name."""

    blocks: Blocks
    ultra: frozenset[str]


def bind_memories(banks: Sequence[Bank], limit: Blocks) -> MemoryBinding:
    """Return where the banks are kept, the largest placed first.

    A deep bank goes to UltraRAM where the part has any, another to block RAM; where no blocks are
    left, to the other kind if it has room.
    """
    brams = urams = 0
    ultra = set()
    for bank in sorted(banks, key=lambda bank: -bank.bits):
        bram_has_room = brams + bank.brams <= 2 * limit.bram36
        uram_has_room = urams + bank.urams <= limit.uram
        deep = limit.uram > 0 and bank.deep
        if (deep and (uram_has_room or not bram_has_room)) or (uram_has_room and not bram_has_room):
            urams += bank.urams
            ultra.add(bank.name)
        else:
            brams += bank.brams
    return MemoryBinding(Blocks(brams / 2, urams), frozenset(ultra))
