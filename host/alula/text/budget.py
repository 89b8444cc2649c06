"""What a request to the text process may take."""

from dataclasses import dataclass
from typing import Self

_MEMORY = 3 << 29


@dataclass(frozen=True)
class Budget:
    """What a request may take: several times what known tokenizers take.

    Attributes:
        seconds: of processor time, of all threads and in all libraries.
        memory: bytes of address space beyond what the process has.
    """

    seconds: float
    memory: int

    @classmethod
    def of_file(cls, size: int) -> Self:
        """Return what reading a tokenizer of this many bytes may take."""
        return cls(4 + size / 1e6, _MEMORY)

    @classmethod
    def of_text(cls, size: int) -> Self:
        """Return what a text of this many characters may take; a token takes some 200 bytes."""
        return cls(2 + size / 1e5, _MEMORY + 512 * size)
