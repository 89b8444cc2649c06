"""Pieces of text: together the whole, none with half a character, none past a stop text."""

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import Tokenizer, decoders, models

from alula.runtime import RunError
from alula.runtime.streaming import Detokenizer, StopText


def decode(ids: Sequence[int]) -> str:
    return bytes(ids).decode("utf-8", errors="replace")


def streamed(ids: Sequence[int]) -> tuple[list[str], str]:
    detokenizer = Detokenizer(decode)
    return [detokenizer.push(token) for token in ids], detokenizer.flush()


TOKENS = [
    *("hello", "a", "##b", "▁x", "▁", ".", "'", "n't", "##.", "é", " ", "日", "</w>", "ab</w>"),
    *("<0xE2>", "<0x82>", "<0xAC>", "<0xF0>", "Ġw", "Ċ", "â", "Ĥ", "¬"),
]
DECODERS = {
    "bytes": decoders.ByteLevel(),
    "sentence pieces": decoders.Sequence(
        [
            decoders.Replace("▁", " "),
            decoders.ByteFallback(),
            decoders.Fuse(),
            decoders.Strip(" ", 1, 0),
        ]
    ),
    "metaspace": decoders.Metaspace(),
    "word pieces": decoders.WordPiece(),
    "suffixes": decoders.BPEDecoder("</w>"),
}


@pytest.mark.parametrize("name", DECODERS)
@given(ids=st.lists(st.integers(0, len(TOKENS) + 2)))
def test_pieces_are_the_text_of_every_decoder(name: str, ids: list[int]) -> None:
    """Ids beyond the tokens have no text."""
    vocabulary = {token: index for index, token in enumerate(TOKENS)}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token="a"))
    tokenizer.decoder = DECODERS[name]

    def decode(some: Sequence[int]) -> str:
        assert some, "some decoders fail on nothing"
        return tokenizer.decode(list(some))

    detokenizer = Detokenizer(decode)
    pieces = [detokenizer.push(token) for token in ids]
    assert "".join(pieces) + detokenizer.flush() == tokenizer.decode(ids)


@given(st.text())
def test_pieces_are_the_text(text: str) -> None:
    pieces, rest = streamed(text.encode())
    assert "".join(pieces) + rest == text
    if "\ufffd" not in text:
        assert rest == ""
        assert not any("\ufffd" in piece for piece in pieces)


@given(st.binary(max_size=30))
def test_bytes_that_are_no_text(data: bytes) -> None:
    pieces, rest = streamed(data)
    assert "".join(pieces) + rest == decode(data)


def test_a_character_of_four_tokens_comes_at_once() -> None:
    pieces, rest = streamed("a🦜b".encode())
    assert (pieces, rest) == (["a", "", "", "", "🦜", "b"], "")


def test_half_a_character_at_the_end() -> None:
    pieces, rest = streamed("a🦜".encode()[:-1])
    assert (pieces, rest) == (["a", "", "", ""], "\ufffd")


@given(st.lists(st.text("abc", max_size=4)), st.lists(st.text("abc", min_size=1, max_size=3)))
def test_nothing_after_the_first_stop(pieces: list[str], stops: list[str]) -> None:
    stop = StopText(stops)
    out = "".join(stop.push(piece) for piece in pieces) + stop.flush()
    text = "".join(pieces)
    ends = [text.find(word) for word in stops if word in text]
    assert stop.hit == bool(ends)
    assert not any(word in out for word in stops)
    if ends:
        assert text.startswith(out)
    else:
        assert out == text


def test_what_may_become_a_stop_is_held_back() -> None:
    stop = StopText(["END"])
    assert [stop.push(piece) for piece in ("aE", "N", "x", "EN", "D", "more")] == [
        "a",
        "",
        "ENx",
        "",
        "",
        "",
    ]
    assert stop.hit


def test_an_empty_stop_text() -> None:
    with pytest.raises(RunError, match=r"^a stop text must be at least one character, not empty$"):
        StopText([""])
