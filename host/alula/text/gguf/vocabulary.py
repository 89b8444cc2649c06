"""A GGUF file's vocabulary, as it is kept."""

import json
from collections.abc import Sequence
from dataclasses import dataclass, field, fields
from typing import Any, Self

from alula.text.gguf.kinds import TokenKind
from alula.text.gguf.pre_tokenizers import PRE_TOKENIZERS, PreTokenizer


@dataclass(frozen=True, kw_only=True)
class Vocabulary:
    """Tokens, and how texts are made of them.

    Attributes:
        tokens: texts by id, all different.
        kinds: by id.
        merges: for byte pairs: two tokens with a space between, the first to merge first.
        scores: for sentence pieces: by id.
        pre_tokenizer: for byte pairs: a name of `PRE_TOKENIZERS`; None for sentence pieces.
        before: ids that come before a text.
        behind: ids that come behind it.
        space_prefix: a text of sentence pieces starts with a space that it does not have.
        strip_before: ids that take the white space before them.
        strip_behind: ids that take the white space behind them.
    """

    tokens: Sequence[str]
    kinds: Sequence[TokenKind]
    merges: Sequence[str] = ()
    scores: Sequence[float] = ()
    pre_tokenizer: str | None = None
    before: Sequence[int] = ()
    behind: Sequence[int] = ()
    space_prefix: bool = False
    strip_before: Sequence[int] = ()
    strip_behind: Sequence[int] = ()
    ids: dict[str, int] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "ids", {token: index for index, token in enumerate(self.tokens)})

    @property
    def pre(self) -> PreTokenizer | None:
        """How text is split; None for sentence pieces, where it is not."""
        return None if self.pre_tokenizer is None else PRE_TOKENIZERS[self.pre_tokenizer]

    def to_str(self) -> str:
        """Return the vocabulary as JSON."""
        values = {item.name: getattr(self, item.name) for item in fields(self) if item.init}
        return json.dumps(values | {"kinds": [kind.value for kind in self.kinds]})

    @classmethod
    def from_str(cls, text: str) -> Self:
        """Return the vocabulary that `to_str` gave. ValueError if it is none."""
        try:
            values: dict[str, Any] = json.loads(text)
            kinds = [TokenKind(value) for value in values.pop("kinds")]
            return cls(kinds=kinds, **values)
        except (AttributeError, KeyError, TypeError) as error:
            raise ValueError(f"a vocabulary must be as it was kept, not: {error}") from None
