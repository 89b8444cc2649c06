"""Text out of token ids as they come, without broken characters and without the stop text."""

from collections.abc import Callable, Sequence

from alula.runtime.errors import RunError

_REPLACEMENT = "\ufffd"


class Detokenizer:
    """Turns ids into text a piece at a time; the pieces together are the text of all the ids.

    A piece is held back while it ends inside a character, since one character may take several
    tokens.
    """

    def __init__(self, decode: Callable[[Sequence[int]], str]) -> None:
        self._decode = decode
        self._ids: list[int] = []
        self._start = 0
        self._read = 0

    def push(self, token: int) -> str:
        """Return the text that this token completes, maybe none."""
        self._ids.append(token)
        return self._next(final=False)

    def flush(self) -> str:
        """Return what is still held back; half a character becomes U+FFFD."""
        return self._next(final=True)

    def _next(self, final: bool) -> str:
        # Decoding starts a little before what is new, because a decoder may treat its first token
        # differently (some drop a leading space).
        shown = self._text(self._ids[self._start : self._read])
        text = self._text(self._ids[self._start :])
        if len(text) <= len(shown) or (text.endswith(_REPLACEMENT) and not final):
            return ""
        self._start, self._read = self._read, len(self._ids)
        return text[len(shown) :]

    def _text(self, ids: list[int]) -> str:
        """Return the text of some ids; there are decoders that fail on none."""
        return self._decode(ids) if ids else ""


class StopText:
    """Passes text on until one of the stop texts appears, and holds back what may become one.

    Attributes:
        hit: whether a stop text has appeared; it and what follows are not passed on.
    """

    def __init__(self, stops: Sequence[str]) -> None:
        if "" in stops:
            raise RunError("a stop text must be at least one character, not empty")
        self._stops = tuple(stops)
        self._held = ""
        self.hit = False

    def push(self, text: str) -> str:
        """Return what of the text so far is certain to come before any stop text."""
        if self.hit:
            return ""
        text = self._held + text
        places = [place for stop in self._stops if (place := text.find(stop)) >= 0]
        if places:
            self.hit, self._held = True, ""
            return text[: min(places)]
        kept = max((self._overlap(text, stop) for stop in self._stops), default=0)
        self._held = text[len(text) - kept :]
        return text[: len(text) - kept]

    def flush(self) -> str:
        """Return what was held back, as no more text comes."""
        text, self._held = self._held, ""
        return text

    @staticmethod
    def _overlap(text: str, stop: str) -> int:
        """Return how many characters at the end of `text` begin `stop`."""
        longest = min(len(stop) - 1, len(text))
        return next((size for size in range(longest, 0, -1) if text.endswith(stop[:size])), 0)
