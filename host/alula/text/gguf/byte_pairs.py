"""Byte-pair merges, as llama.cpp does them, by the package `tokenizers`."""

import re

from tokenizers import Regex, Tokenizer, models, normalizers, pre_tokenizers

from alula.text.errors import TextError, refused
from alula.text.gguf.expressions import translated
from alula.text.gguf.pre_tokenizers import PreTokenizer
from alula.text.gguf.vocabulary import Vocabulary


def _alphabet() -> dict[str, int]:
    itself = {*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)}
    others = (byte for byte in range(0x100) if byte not in itself)
    return {chr(byte): byte for byte in itself} | {
        chr(0x100 + place): byte for place, byte in enumerate(others)
    }


ALPHABET = _alphabet()
"""Bytes by the character of GPT-2's alphabet that stands for them."""

_NEWLINES = re.compile("(\n+)")


class BytePairs:
    """Stretches of text to ids.

    Args:
        vocabulary: of byte pairs.
        pre: how text is split.

    Raises:
        TextError: the merges do not fit the tokens.
    """

    def __init__(self, vocabulary: Vocabulary, pre: PreTokenizer) -> None:
        self._ids = vocabulary.ids
        self._whole_newlines = pre.whole_newlines
        self._limit = len(vocabulary.tokens)
        self._backend = Tokenizer(_model(vocabulary, pre))
        steps: list[pre_tokenizers.PreTokenizer] = [
            pre_tokenizers.Split(Regex(translated(expression)), behavior="isolated")
            for expression in pre.expressions
        ]
        if pre.byte_level:
            steps.append(pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False))
        else:
            self._backend.normalizer = normalizers.Replace(" ", "▁")
        self._backend.pre_tokenizer = pre_tokenizers.Sequence(steps)

    def encode(self, text: str) -> list[int]:
        """Return the ids of a stretch of text; what no token spells is left out."""
        if not self._whole_newlines:
            return self._merged(text)
        ids: list[int] = []
        for line in _NEWLINES.split(text):
            whole = self._ids.get(line) if line.startswith("\n") else None
            ids += self._merged(line) if whole is None else [whole]
        return ids

    def _merged(self, text: str) -> list[int]:
        ids = self._backend.encode(text, add_special_tokens=False).ids
        return [index for index in ids if index < self._limit]


def _model(vocabulary: Vocabulary, pre: PreTokenizer) -> models.BPE:
    ids = dict(vocabulary.ids)
    if pre.byte_level:
        # A byte that is no token keeps its place between those that are, until all is merged.
        missing = [byte for byte in ALPHABET if byte not in ids]
        ids |= zip(missing, range(len(ids), len(ids) + len(missing)), strict=True)
    elif any(f"<0x{byte:02X}>" not in ids for byte in range(256)):
        raise TextError("the tokens must hold <0x00> to <0xFF>, not only some of them")
    with refused("the merges must fit the tokens, not"):
        return models.BPE(
            vocab=ids,
            merges=[pair(merge) for merge in vocabulary.merges],
            ignore_merges=pre.whole_words,
            byte_fallback=not pre.byte_level,
        )


def pair(merge: str) -> tuple[str, str]:
    """Return the two tokens of a merge, which a space parts; the first may begin with one."""
    cut = merge.index(" ", 1)
    return merge[:cut], merge[cut + 1 :]
