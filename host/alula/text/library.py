"""Tokenizers that the package `tokenizers` runs."""

from collections.abc import Sequence
from typing import Self

from tokenizers import Tokenizer


class LibraryTokenizer:
    """Text to ids and back.

    Args:
        backend: does it.
        split_special: whether special tokens in a text are read as plain text.
    """

    def __init__(self, backend: Tokenizer, split_special: bool = False) -> None:
        self._backend = backend
        backend.no_truncation()
        backend.no_padding()
        backend.encode_special_tokens = split_special

    @classmethod
    def from_str(cls, text: str, split_special: bool = False) -> Self:
        """Return the tokenizer that a tokenizer.json holds. Whatever is wrong, it raises."""
        return cls(Tokenizer.from_str(text), split_special)

    def to_str(self) -> str:
        """Return the tokenizer as the text of a tokenizer.json."""
        return self._backend.to_str()

    def encode(self, text: str, special: bool) -> list[int]:
        """Return the ids of a text; `special` adds what the model wants around it."""
        return self._backend.encode(text, add_special_tokens=special).ids

    def encode_chat(self, text: str) -> list[int]:
        """Return the ids of a conversation's text, which has all that the model wants."""
        return self.encode(text, special=False)

    def decode(self, ids: Sequence[int]) -> str:
        """Return the text of ids without special tokens."""
        return self._backend.decode(list(ids), skip_special_tokens=True)
