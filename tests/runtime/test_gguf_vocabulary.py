"""Tokenizer metadata of a GGUF file that is not as it should be: one line with file and key."""

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from alula.frontend import FrontendError
from alula.runtime import TokenizerError
from alula.runtime.gguf_vocabulary import describe
from alula.text.errors import TextError
from alula.text.gguf.byte_pairs import ALPHABET
from alula.text.gguf.tokenizer import GgufTokenizer

BYTE_PAIRS: dict[str, Any] = {
    "model": "gpt2",
    "pre": "qwen2",
    "tokens": [*sorted(ALPHABET), "ab", "<s>", "</s>"],
    "token_type": [1] * 257 + [3, 3],
    "merges": ["a b"],
    "bos_token_id": 257,
    "eos_token_id": 258,
    "add_bos_token": True,
    "add_eos_token": True,
    "add_sep_token": False,
    "eot_token_id": 258,
    "suppress_tokens": [],
}
SENTENCE_PIECES: dict[str, Any] = {
    "model": "llama",
    "tokens": ["<unk>", "<s>", "</s>", *(f"<0x{byte:02X}>" for byte in range(256)), "▁", "a"],
    "scores": [0.0] * 261,
    "token_type": [2, 3, 3] + [6] * 256 + [1, 1],
    "add_space_prefix": True,
}


def metadata(kind: dict[str, Any], **changes: Any) -> dict[str, Any]:
    return {f"tokenizer.ggml.{key}": value for key, value in (kind | changes).items()}


def encoded(values: dict[str, Any], text: str) -> list[int]:
    return GgufTokenizer(describe(values, "here").vocabulary).encode(text)


def test_what_is_as_it_should_be() -> None:
    assert encoded(metadata(BYTE_PAIRS), "ab") == [257, 256, 258]
    assert encoded(metadata(SENTENCE_PIECES), "a") == [1, 259, 260]


VALUES = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**70), 2**70),
    st.floats(),
    st.text(max_size=3),
    st.lists(st.one_of(st.booleans(), st.integers(-9, 300), st.floats(), st.text(max_size=3))),
    st.lists(st.text(max_size=2), min_size=1),
    st.lists(st.integers(0, 7), min_size=261),
)


@settings(max_examples=100)
@given(kind=st.sampled_from([BYTE_PAIRS, SENTENCE_PIECES]), data=st.data())
def test_values_of_any_type_are_read_or_told_in_a_line(kind: dict[str, Any], data) -> None:
    key = data.draw(st.sampled_from([*kind, "seperator_token_id"]))
    told = ""
    try:
        encoded(metadata(kind, **{key: data.draw(VALUES)}), "ab a<s> é")
    except (TokenizerError, FrontendError) as error:
        told = str(error)
    except TextError as error:
        told = f"{error} (here: tokenizer.ggml.tokens)"
    assert "\n" not in told
    assert not told or ("(here" in told and "tokenizer.ggml." in told)


@pytest.mark.parametrize(
    ("kind", "changes", "words"),
    [
        (BYTE_PAIRS, {"model": ["gpt2"]}, "must be a string, not ['gpt2'] (here: tokenizer."),
        (BYTE_PAIRS, {"model": "bert"}, "model must be one of gpt2, gemma4, llama, not 'bert'"),
        (BYTE_PAIRS, {"pre": [1]}, "must be a string, not [1] (here: tokenizer.ggml.pre)"),
        (BYTE_PAIRS, {"tokens": [1, 2]}, "tokens must be a list of str, not one with 1 (here)"),
        (BYTE_PAIRS, {"tokens": ["a", "a"]}, "tokens must be all different, not twice 'a'"),
        (BYTE_PAIRS, {"tokens": ["a\0"]}, "tokens must be without NUL, not with it"),
        (BYTE_PAIRS, {"token_type": 3}, "must be a list, not 3 (here: tokenizer.ggml.token_type)"),
        (BYTE_PAIRS, {"token_type": [3]}, "token_type must be 259 numbers, not 1"),
        (BYTE_PAIRS, {"merges": None}, "merges must be given, not missing"),
        (BYTE_PAIRS, {"merges": ["ab"]}, "merges must be of tokens, to tokens, not 'ab'"),
        (BYTE_PAIRS, {"merges": ["a c"]}, "merges must be of tokens, to tokens, not 'a c'"),
        (BYTE_PAIRS, {"bos_token_id": "x"}, "bos_token_id must be a token id, not 'x'"),
        (BYTE_PAIRS, {"add_bos_token": 1}, "must be true or false, not 1"),
        (BYTE_PAIRS, {"suppress_tokens": [4]}, "suppress_tokens must be empty, not used"),
        (BYTE_PAIRS, {"pre": "glm4", "bos_token_id": None}, "bos_token_id must be given, as it"),
        (SENTENCE_PIECES, {"scores": ["1"]}, "scores must be a list of float or int"),
        (SENTENCE_PIECES, {"scores": [float("nan")] * 261}, "scores must be numbers, not NaN"),
    ],
)
def test_words(kind: dict[str, Any], changes: dict[str, Any], words: str) -> None:
    with pytest.raises((TokenizerError, FrontendError)) as caught:
        describe(metadata(kind, **changes), "here")
    assert words in str(caught.value)


@pytest.mark.parametrize("text", ["a b", ":", "$B", "a:9", "$A", "<s> $A"])
def test_the_text_of_bos_is_any_text(text: str) -> None:
    tokens = [*BYTE_PAIRS["tokens"][:257], f"{text} ", "</s>"]
    assert encoded(metadata(BYTE_PAIRS, tokens=tokens), "ab") == [257, 256, 258]
