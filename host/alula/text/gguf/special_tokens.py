"""Tokens that are written in a text as themselves."""

from collections.abc import Collection, Iterable, Iterator, Mapping

_SPACE = " \t\n\v\f\r"
"""What a token may take along: white space of ASCII."""

Part = str | int
"""A stretch of text without special tokens, or a special token's id."""


class SpecialTokens:
    """Finds special tokens in a text as llama.cpp does: the longest first, wherever they are.

    Args:
        tokens: ids by text.
        strip_before, strip_after: ids that take the white space at that side of them.
    """

    def __init__(
        self,
        tokens: Mapping[str, int],
        strip_before: Collection[int] = (),
        strip_after: Collection[int] = (),
    ) -> None:
        # llama.cpp counts bytes.
        self._tokens = sorted(tokens.items(), key=lambda item: -len(item[0].encode()))
        self._strip_before = strip_before
        self._strip_after = strip_after

    def parts(self, text: str) -> list[Part]:
        """Return a text as stretches without special tokens, and the tokens between them."""
        parts: list[Part] = [text] if text else []
        for token, index in self._tokens:
            if token in text:
                parts = list(self._cut(parts, token, index))
        return parts

    def _cut(self, parts: Iterable[Part], token: str, index: int) -> Iterator[Part]:
        for part in parts:
            if isinstance(part, int):
                yield part
                continue
            stretch, *others = part.split(token)
            for following in others:
                before = stretch.rstrip(_SPACE) if index in self._strip_before else stretch
                if before:
                    yield before
                yield index
                stretch = following.lstrip(_SPACE) if index in self._strip_after else following
            if stretch:
                yield stretch
