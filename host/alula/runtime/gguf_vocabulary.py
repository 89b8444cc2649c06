"""The vocabulary in a GGUF file's metadata, with what llama.cpp knows of it and the file omits."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from alula.frontend.fields import Fields
from alula.runtime.errors import TokenizerError
from alula.runtime.gguf_known_tokens import mark_known
from alula.text.gguf.byte_pairs import pair
from alula.text.gguf.kinds import SPECIAL, STORED, TokenKind
from alula.text.gguf.pre_tokenizers import PRE_TOKENIZERS, REFUSED
from alula.text.gguf.vocabulary import Vocabulary

PREFIX = "tokenizer.ggml."

_DEFAULT_IDS: Mapping[str, Mapping[str, int]] = {
    "gpt2": {"bos": 11, "eos": 11},
    "gemma4": {},
    "llama": {"bos": 1, "eos": 2},
}
"""Special tokens that llama.cpp takes where a file names none, by `tokenizer.ggml.model`."""

MODELS = tuple(_DEFAULT_IDS)
"""The values of `tokenizer.ggml.model` that are read."""

_SENTENCE_PIECES = "llama"
_STRIPPING_NAMES = ("phi-3", "phi3")
_STRIPPED, _UNSTRIPPED = "</s>", ("<unk>", "<s>", "<|endoftext|>")


@dataclass(frozen=True)
class Described:
    """What a file's metadata says of its tokenizer.

    Attributes:
        vocabulary: tokens, and how texts are made of them.
        stop_ids: tokens that end an answer, in order.
        bos: the token that may begin a text, None if there is none.
        eos: the token that may end one, None if there is none.
    """

    vocabulary: Vocabulary
    stop_ids: tuple[int, ...]
    bos: int | None
    eos: int | None


def describe(metadata: Mapping[str, Any], where: object) -> Described:
    """Return what a GGUF file says of its tokenizer, read as llama.cpp reads it.

    Args:
        metadata: the file's keys and values.
        where: the file, for messages.

    Raises:
        TokenizerError: it is of a kind that is not supported, incomplete, or contradicts itself.
        FrontendError: a value is of another type.
    """
    return _Reader(Fields(metadata, where, prefix=PREFIX)).described()


class _Reader:
    def __init__(self, fields: Fields) -> None:
        self._fields = fields
        self._model = fields.text("model")
        if self._model not in MODELS:
            raise self._error("model", f"one of {', '.join(MODELS)}", repr(self._model)[:60])
        if self._items("suppress_tokens", int):
            raise self._error("suppress_tokens", "empty", "used")
        self._pre = self._pre_tokenizer()
        self._tokens = self._read_tokens()
        self._ids = {token: index for index, token in enumerate(self._tokens)}

    def described(self) -> Described:
        """Return all that is read."""
        kinds = self._kinds()
        stop_ids = mark_known(self._ids, kinds, self._special)
        pre = None if self._pre is None else PRE_TOKENIZERS[self._pre]
        add_bos = self._fields.flag("add_bos_token", True if pre is None else pre.add_bos)
        strip_before, strip_behind = self._stripping(kinds)
        vocabulary = Vocabulary(
            tokens=self._tokens,
            kinds=kinds,
            merges=() if pre is None else self._merges(),
            scores=self._scores() if pre is None else (),
            pre_tokenizer=self._pre,
            before=self._added("bos", add_bos or (pre is not None and pre.always_bos)),
            behind=self._added("eos", self._fields.flag("add_eos_token", False)),
            space_prefix=pre is None and self._fields.flag("add_space_prefix", True),
            strip_before=sorted(strip_before),
            strip_behind=sorted(strip_behind),
        )
        self._added("seperator", self._fields.flag("add_sep_token", False))
        return Described(vocabulary, stop_ids, self._special("bos"), self._special("eos"))

    def _error(self, key: str, must: str, actual: str) -> TokenizerError:
        return TokenizerError(f"{PREFIX}{key} must be {must}, not {actual} ({self._fields.where})")

    def _items(self, key: str, *types: type) -> list[Any]:
        values = self._fields.items(key)
        wrong = next((value for value in values if type(value) not in types), None)
        if wrong is not None:
            names = " or ".join(kind.__name__ for kind in types)
            raise self._error(key, f"a list of {names}", f"one with {repr(wrong)[:40]}")
        return values

    def _pre_tokenizer(self) -> str | None:
        """Return the name of what splits texts; None for sentence pieces."""
        if self._model == _SENTENCE_PIECES:
            return None
        if self._model == "gemma4":
            return "gemma4"
        name = self._fields.text("pre", "") or "default"
        if name in REFUSED:
            raise self._error("pre", "another", f"{name!r}: {REFUSED[name]}")
        if name not in PRE_TOKENIZERS:
            raise self._error("pre", f"one of {', '.join(PRE_TOKENIZERS)}", repr(name)[:60])
        return name

    def _read_tokens(self) -> list[str]:
        read = self._items("tokens", str)
        if not read:
            raise self._error("tokens", "a list of tokens", "empty or absent")
        if any("\0" in token for token in read):
            raise self._error("tokens", "without NUL", "with it")
        tokens = [token or f"[EMPTY_{index}]" for index, token in enumerate(read)]
        last = {token: index for index, token in enumerate(tokens)}
        if len(last) != len(tokens):
            twice = next(token for index, token in enumerate(tokens) if last[token] != index)
            raise self._error("tokens", "all different", f"twice {twice[:40]!r}")
        return tokens

    def _kinds(self) -> list[TokenKind]:
        numbers = self._items("token_type", int)
        if not numbers:
            return [TokenKind.NORMAL] * len(self._tokens)
        if len(numbers) < len(self._tokens):
            raise self._error("token_type", f"{len(self._tokens)} numbers", str(len(numbers)))
        known = dict(enumerate(STORED))
        return [known.get(number, STORED[0]) for number in numbers[: len(self._tokens)]]

    def _scores(self) -> list[float]:
        scores = self._items("scores", float, int)
        if not scores:
            return [0.0] * len(self._tokens)
        if len(scores) < len(self._tokens):
            raise self._error("scores", f"{len(self._tokens)} numbers", str(len(scores)))
        if any(score != score for score in scores):
            raise self._error("scores", "numbers", "NaN")
        return scores[: len(self._tokens)]

    def _merges(self) -> list[str]:
        if "merges" not in self._fields and self._pre != "kimi-k2":
            raise self._error("merges", "given", "missing")
        merges = self._items("merges", str)
        for merge in merges:
            left, right = pair(merge) if " " in merge[1:] else ("", "")
            if not {left, right, left + right} <= self._ids.keys():
                raise self._error("merges", "of tokens, to tokens", f"{merge[:40]!r}")
        return list(dict.fromkeys(merges))

    def _special(self, name: str) -> int | None:
        """Return the id of a special token: the file's, or llama.cpp's default."""
        key = f"{name}_token_id"
        index = self._fields.values.get(PREFIX + key)
        if index is not None and type(index) is not int:
            raise self._error(key, "a token id", repr(index)[:60])
        default = _DEFAULT_IDS[self._model].get(name)
        if name == "bos" and self._pre is not None and not PRE_TOKENIZERS[self._pre].default_bos:
            default = None
        for chosen in (index, default):
            if chosen is not None and 0 <= chosen < len(self._tokens):
                return chosen
        return None

    def _added(self, name: str, added: bool) -> tuple[int, ...]:
        """Return the special token as a sequence of one if it is added to texts, else of none."""
        if not added:
            return ()
        index = self._special(name)
        if index is None:
            raise self._error(f"{name}_token_id", "given, as it is added to texts", "missing")
        return (index,)

    def _stripping(self, kinds: Sequence[TokenKind]) -> tuple[Collection[int], Collection[int]]:
        """Return what takes white space before and behind it, which only names tell."""
        model = Fields(self._fields.values, self._fields.where).text("general.name", "").lower()
        pre = PRE_TOKENIZERS[self._pre] if self._pre is not None else None
        if pre is not None and pre.strips_before is not None:
            return [self._ids[t] for t in (pre.strips_before,) if t in self._ids], ()
        if any(part in model for part in _STRIPPING_NAMES):
            for token in (_STRIPPED, *_UNSTRIPPED):
                if token not in self._ids:
                    raise self._error("tokens", f"with {token} in a model called phi3", "without")
            stripping = {index for index, kind in enumerate(kinds) if kind & SPECIAL}
            stripping.add(self._ids[_STRIPPED])
            return (), stripping - {self._ids[token] for token in _UNSTRIPPED}
        if "modern-bert" in model and "[MASK]" in self._ids:
            return [self._ids["[MASK]"]], ()
        return (), ()
