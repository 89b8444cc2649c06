"""Texts split and merged as llama.cpp does it, with every pre-tokeniser."""

from pathlib import Path

import gguf
import pytest
from gguf import TokenType
from tests.llama_cpp import LlamaCpp, write_model, write_vocabulary
from tests.text.corpus import TEXTS, byte_pairs, text_pairs
from tokenizers import pre_tokenizers

from alula.frontend.gguf_file import GgufFile
from alula.runtime import TokenizerError
from alula.runtime.gguf_vocabulary import describe
from alula.text.gguf.byte_pairs import ALPHABET
from alula.text.gguf.expressions import translated
from alula.text.gguf.pre_tokenizers import PRE_TOKENIZERS, REFUSED
from alula.text.gguf.tokenizer import GgufTokenizer

BETWEEN = "<|eot|>"


def opened(path: Path) -> GgufTokenizer:
    return GgufTokenizer(describe(GgufFile(path).metadata, path).vocabulary)


def write(path: Path, pre: str, tokens: list[str], merges: list[str]) -> Path:
    special = {BETWEEN: TokenType.CONTROL, "<mask>": TokenType.CONTROL}
    return write_model(
        path,
        lambda writer: write_vocabulary(writer, tokens, merges=merges, pre=pre, special=special),
    )


@pytest.fixture(scope="module")
def trained() -> dict[bool, tuple[list[str], list[str]]]:
    return {True: byte_pairs(), False: text_pairs()}


@pytest.mark.parametrize("name", PRE_TOKENIZERS)
def test_llama_cpp_gives_the_same_ids(name: str, trained, tmp_path: Path) -> None:
    path = write(tmp_path / "model.gguf", name, *trained[PRE_TOKENIZERS[name].byte_level])
    text = BETWEEN.join(
        (
            *TEXTS,
            "a <mask> b",
            *(first + last for first, last in zip(TEXTS, TEXTS[7:], strict=False)),
        )
    )
    ours = opened(path)
    expected = LlamaCpp(path).tokenize(text, special=True)
    assert ours.encode(text) == expected
    assert GgufTokenizer.from_str(ours.to_str()).encode(text) == expected


@pytest.mark.parametrize("name", ["", None])
def test_a_missing_pre_tokenizer_is_the_default_one(name, trained, tmp_path: Path) -> None:
    tokens, merges = trained[True]
    path = write_model(
        tmp_path / "model.gguf",
        lambda writer: write_vocabulary(writer, tokens, merges=merges, pre=name),
    )
    ours = opened(path)
    assert ours.vocabulary.pre == PRE_TOKENIZERS["default"]
    assert [ours.encode(text) for text in TEXTS] == list(map(LlamaCpp(path).tokenize, TEXTS))


@pytest.mark.parametrize("name", ["chatglm-bpe", "glm4", "glm5", "qwen2", "gemma4"])
def test_bos_where_the_file_wants_one_and_names_none(name: str, trained, tmp_path: Path) -> None:
    tokens, merges = trained[PRE_TOKENIZERS[name].byte_level]

    def vocabulary(writer: gguf.GGUFWriter) -> list[str]:
        writer.add_add_bos_token(True)
        return write_vocabulary(writer, tokens, merges=merges, pre=name)

    path = write_model(tmp_path / "model.gguf", vocabulary)
    if PRE_TOKENIZERS[name].default_bos:
        assert opened(path).encode("a") == LlamaCpp(path).tokenize("a", special=True)
        return
    # llama.cpp aborts with the first text.
    with pytest.raises(TokenizerError, match="bos_token_id must be given"):
        opened(path)


@pytest.mark.parametrize("name", [*REFUSED, "klingon"])
def test_others_are_refused(name: str, trained, tmp_path: Path) -> None:
    path = write(tmp_path / "model.gguf", name, *trained[True])
    with pytest.raises(TokenizerError, match=rf"tokenizer.ggml.pre must be .*{name}") as caught:
        opened(path)
    assert "\n" not in str(caught.value)


def test_the_alphabet_is_gpt_2s() -> None:
    assert sorted(ALPHABET) == sorted(pre_tokenizers.ByteLevel.alphabet())
    assert sorted(ALPHABET.values()) == list(range(256))


def test_expressions_without_peculiarities_stay_as_they_are() -> None:
    assert translated("[0-9][0-9][0-9]") == "[0-9][0-9][0-9]"
    assert translated(r"\s+$") == r"\s+\z"
