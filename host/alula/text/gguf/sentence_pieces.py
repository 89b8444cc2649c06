"""SentencePiece's merges by score, as llama.cpp does them."""

from heapq import heapify, heappop, heappush

from alula.text.errors import TextError
from alula.text.gguf.vocabulary import Vocabulary

_SPACE = "▁"


class SentencePieces:
    """Stretches of text to ids.

    `tokenizers` merges by the rank of a pair, and cannot say that two pairs are worth the same and
    the one further left comes first; so the merges are made here.
    """

    def __init__(self, vocabulary: Vocabulary) -> None:
        self._ids = vocabulary.ids
        self._scores = vocabulary.scores
        self._prefix = " " if vocabulary.space_prefix else ""

    def encode(self, text: str) -> list[int]:
        """Return the ids of a stretch of text.

        Raises:
            TextError: a character is no token and its bytes are none.
        """
        ids: list[int] = []
        for piece in self._pieces((self._prefix + text).replace(" ", _SPACE)):
            index = self._ids.get(piece)
            ids += self._bytes(piece) if index is None else [index]
        return ids

    def _pieces(self, text: str) -> list[str]:
        """Merge neighbours whose text is a token, the best score first, then the leftmost."""
        pieces = list(text)
        end = len(pieces)
        following = [*range(1, end + 1)]
        preceding = [*range(-1, end - 1)]
        heap: list[tuple[float, int, int, str]] = []

        def offer(left: int, right: int) -> tuple[float, int, int, str] | None:
            if left < 0 or right >= end:
                return None
            joined = pieces[left] + pieces[right]
            index = self._ids.get(joined)
            return None if index is None else (-self._scores[index], left, right, joined)

        heap = [pair for left in range(end - 1) if (pair := offer(left, left + 1))]
        heapify(heap)
        while heap:
            _, left, right, joined = heappop(heap)
            if not pieces[left] or not pieces[right] or pieces[left] + pieces[right] != joined:
                continue
            pieces[left], pieces[right] = joined, ""
            following[left] = following[right]
            if following[right] < end:
                preceding[following[right]] = left
            for pair in (offer(preceding[left], left), offer(left, following[left])):
                if pair:
                    heappush(heap, pair)
        return [piece for piece in pieces if piece]

    def _bytes(self, piece: str) -> list[int]:
        ids = []
        for byte in piece.encode():
            index = self._ids.get(f"<0x{byte:02X}>")
            if index is None and byte < 0x80:
                index = self._ids.get(chr(byte))
            if index is None:
                raise TextError(
                    f"the text must be of characters that the model's tokens spell, not {piece!r}"
                )
            ids.append(index)
        return ids
