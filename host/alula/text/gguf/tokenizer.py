"""The tokenizer of a GGUF file: llama.cpp's, token for token."""

import re
from collections.abc import Sequence
from functools import cached_property
from typing import Self

from alula.text.gguf.byte_pairs import ALPHABET, BytePairs
from alula.text.gguf.kinds import HIDDEN, SPECIAL, TokenKind
from alula.text.gguf.sentence_pieces import SentencePieces
from alula.text.gguf.special_tokens import SpecialTokens
from alula.text.gguf.vocabulary import Vocabulary

_SPACE = "▁"
_BYTE = re.compile("<0x([0-9A-Fa-f]{2})>")


class GgufTokenizer:
    """Text to ids and back. What that takes is made when it is first wanted."""

    def __init__(self, vocabulary: Vocabulary) -> None:
        self.vocabulary = vocabulary
        self._byte_level = vocabulary.pre is not None and vocabulary.pre.byte_level

    @classmethod
    def from_str(cls, text: str) -> Self:
        """Return the tokenizer that `to_str` gave. ValueError if it is none."""
        return cls(Vocabulary.from_str(text))

    def to_str(self) -> str:
        """Return the tokenizer as text."""
        return self.vocabulary.to_str()

    @cached_property
    def _model(self) -> BytePairs | SentencePieces:
        pre = self.vocabulary.pre
        return SentencePieces(self.vocabulary) if pre is None else BytePairs(self.vocabulary, pre)

    @cached_property
    def _special(self) -> SpecialTokens:
        vocabulary = self.vocabulary
        special = {
            token: index
            for index, (token, kind) in enumerate(
                zip(vocabulary.tokens, vocabulary.kinds, strict=True)
            )
            if kind & SPECIAL
        }
        return SpecialTokens(special, vocabulary.strip_before, vocabulary.strip_behind)

    def encode(self, text: str, special: bool = True) -> list[int]:
        """Return the ids of a text. The text of a special token is that token.

        Args:
            text: any text.
            special: put what the model wants before and behind it.

        Raises:
            TextError: the model's tokens do not spell the text.
        """
        ids: list[int] = []
        for part in self._special.parts(text):
            ids += [part] if isinstance(part, int) else self._model.encode(part)
        return [*self.vocabulary.before, *ids, *self.vocabulary.behind] if special else ids

    def encode_chat(self, text: str) -> list[int]:
        """Return the ids of a conversation's text, as llama.cpp's server makes them.

        What the model wants around a text is put there; where the chat template wrote it, it is
        not written twice. TextError as for `encode`.
        """
        for index in self.vocabulary.before:
            text = text.removeprefix(self.shown(index))
        for index in self.vocabulary.behind:
            text = text.removesuffix(self.shown(index))
        return self.encode(text)

    def decode(self, ids: Sequence[int]) -> str:
        """Return the text of ids without control tokens; bytes that are no UTF-8 become U+FFFD.

        Ids that have no token give no text.
        """
        kinds = self.vocabulary.kinds
        shown = [i for i in ids if 0 <= i < len(kinds) and not kinds[i] & HIDDEN]
        text = b"".join(map(self.piece, shown))
        if self.vocabulary.space_prefix:
            text = text.removeprefix(b" ")
        return text.decode(errors="replace")

    def shown(self, index: int | None) -> str:
        """Return the text of a token, control tokens included; "" where there is none."""
        return "" if index is None else self.piece(index).decode(errors="replace")

    def piece(self, index: int) -> bytes:
        """Return the bytes that a token stands for, also where it is a control token."""
        token, kind = self.vocabulary.tokens[index], self.vocabulary.kinds[index]
        if kind & SPECIAL:
            return token.encode()
        if kind & TokenKind.NORMAL:
            return self._bytes(token)
        byte = _BYTE.fullmatch(token) if kind & TokenKind.BYTE else None
        return bytes.fromhex(byte[1]) if byte else b""

    def _bytes(self, token: str) -> bytes:
        if not self._byte_level:
            return token.replace(_SPACE, " ").encode()
        values = [ALPHABET[character] for character in token if character in ALPHABET]
        return bytes(values) if len(values) == len(token) else token.encode()
