"""Tokenizers from GGUF metadata and from folders, and their chat templates."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from tokenizers import pre_tokenizers

from alula.frontend.gguf_file import GgufFile
from alula.runtime import TokenizerError, tokenizer_sources
from alula.runtime.gguf_vocabulary import describe
from alula.runtime.tokenizer import BoundedTokenizer
from alula.runtime.tokenizer_sources import open_tokenizer
from alula.text.gguf.tokenizer import GgufTokenizer
from alula.text.tokenizer import Settings, Tokenizer

SPIECE = ["<unk>", "<s>", "</s>", *(f"<0x{byte:02X}>" for byte in range(256))]
WORDS = ["▁", "a", "b", "ab", "▁a", "▁ab", "c"]
SENTENCE_PIECE: dict[str, Any] = {
    "tokenizer.ggml.model": "llama",
    "tokenizer.ggml.tokens": SPIECE + WORDS,
    "tokenizer.ggml.scores": [0.0] * len(SPIECE) + [-5, -4, -4, -2, -3, -1, -4],
    "tokenizer.ggml.token_type": [2, 3, 3] + [6] * 256 + [1] * len(WORDS),
    "tokenizer.ggml.bos_token_id": 1,
    "tokenizer.ggml.eos_token_id": 2,
    "tokenizer.ggml.unknown_token_id": 0,
}
BYTES: dict[str, Any] = {
    "tokenizer.ggml.model": "gpt2",
    "tokenizer.ggml.pre": "gpt-2",
    "tokenizer.ggml.tokens": sorted(pre_tokenizers.ByteLevel.alphabet()),
    "tokenizer.ggml.merges": [],
}
TEXTS = [
    "Hello world",
    "  leading, and   many   spaces",
    "tabs\tand\nnew\n\n\nlines\r\n",
    "déjà vu, naïve, 日本語, emoji 🦜👩‍👩‍👧",
    "don't I'LL we've (brackets) [more] {curly} a_b x->y != 3.14e-10",
    "<|im_start|>user\nspecial<|im_end|>",
    "",
]


@pytest.fixture(scope="module")
def smollm2(smollm2_path: Path) -> Tokenizer:
    return tokenizer_sources._from_gguf(smollm2_path)


def test_smollm2_asks_as_its_makers_do(smollm2: Tokenizer) -> None:
    ids = smollm2.encode_chat([{"role": "user", "content": "What is the capital of France?"}])
    assert smollm2.decode(ids) == (
        "system\nYou are a helpful AI assistant named SmolLM, trained by Hugging Face\n"
        "user\nWhat is the capital of France?\nassistant\n"
    )
    assert ids[:2] == [1, 9690]
    assert ids[-3:] == [520, 9531, 198]
    # <|endoftext|>, <|im_end|> and <reponame>, as llama.cpp ends an answer.
    assert smollm2.stop_ids == (0, 2, 4)


def test_smollm2_round_trip(smollm2: Tokenizer) -> None:
    for text in TEXTS[:-2]:
        assert smollm2.decode(smollm2.encode(text)) == text


@pytest.mark.slow
def test_smollm2_as_transformers_has_it(smollm2: Tokenizer, smollm2_path: Path) -> None:
    transformers = pytest.importorskip("transformers")
    oracle = transformers.AutoTokenizer.from_pretrained(
        smollm2_path.parent, gguf_file=smollm2_path.name
    )
    for text in TEXTS:
        assert smollm2.encode(text) == oracle.encode(text)


def test_digits_stand_alone(smollm2: Tokenizer) -> None:
    space, *digits = smollm2.encode("  123")
    assert smollm2.decode([space]) == "  "
    assert [smollm2.decode([digit]) for digit in digits] == ["1", "2", "3"]


def test_kept_once_converted(
    smollm2: Tokenizer, smollm2_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    open_tokenizer(smollm2_path, "a" * 64)
    monkeypatch.setattr(tokenizer_sources, "_from_gguf", None)
    again = open_tokenizer(smollm2_path, "a" * 64)
    assert again.settings == smollm2.settings
    assert again.encode(TEXTS[4]) == smollm2.encode(TEXTS[4])


def test_sentence_piece() -> None:
    tokenizer = GgufTokenizer(describe(SENTENCE_PIECE, "here").vocabulary)
    names = SENTENCE_PIECE["tokenizer.ggml.tokens"]
    assert [names[i] for i in tokenizer.encode("ab a")] == ["<s>", "▁ab", "▁a"]
    assert [names[i] for i in tokenizer.encode("é", special=False)] == ["▁", "<0xC3>", "<0xA9>"]
    for text in ("ab a", "  ab", "cé🦜a", "ab  "):
        assert tokenizer.decode(tokenizer.encode(text)) == text


@pytest.mark.parametrize(
    ("key", "value", "words"),
    [
        (
            "model",
            "bert",
            "tokenizer.ggml.model must be one of gpt2, gemma4, llama, not 'bert' (here)",
        ),
        (
            "tokens",
            None,
            "tokenizer.ggml.tokens must be a list of tokens, not empty or absent (here)",
        ),
        ("scores", [1.0], "tokenizer.ggml.scores must be 266 numbers, not 1 (here)"),
    ],
)
def test_metadata_that_is_no_tokenizer(key: str, value: object, words: str) -> None:
    metadata = SENTENCE_PIECE | {f"tokenizer.ggml.{key}": value}
    with pytest.raises(TokenizerError) as caught:
        describe(metadata, "here")
    assert str(caught.value) == words


def test_unknown_split_is_refused(smollm2_path: Path) -> None:
    metadata = GgufFile(smollm2_path).metadata | {"tokenizer.ggml.pre": "klingon"}
    with pytest.raises(TokenizerError, match=r"tokenizer.ggml.pre must be one of .*'klingon'"):
        describe(metadata, "here")


def test_folder(small_model: Path) -> None:
    tokenizer = open_tokenizer(small_model, "b" * 64)
    assert tokenizer.stop_ids == (1,)
    assert tokenizer.decode(tokenizer.encode("Grüße")) == "Grüße"
    chat = tokenizer.encode_chat([{"role": "user", "content": "hi"}])
    assert chat == [0, *tokenizer.encode("user: hi\n")]


@pytest.mark.parametrize(
    ("template", "words"),
    [
        (
            "{{ raise_exception('only users') }}",
            "the model's chat template must take this",
        ),
        ("{{ ''.__class__.__mro__[1].__subclasses__() }}", "the model's chat template must take"),
        ("{% for %}", "the model's chat template must take this"),
        (None, "a conversation needs a model with a chat template, not one without"),
    ],
)
def test_templates_that_fail(tmp_path: Path, template: str | None, words: str) -> None:
    tokenizer = with_template(tmp_path, template)
    with pytest.raises(TokenizerError, match=words) as caught:
        tokenizer.encode_chat([{"role": "user", "content": "hi"}])
    assert "\n" not in str(caught.value)


def with_template(folder: Path, template: str | None) -> BoundedTokenizer:
    """Return a tokenizer whose token is a byte, with a chat template."""
    tokenizer = GgufTokenizer(describe(BYTES, "here").vocabulary)
    Tokenizer(tokenizer, Settings(template, (), {}, gguf=True)).save(folder)
    return BoundedTokenizer(folder)


def test_damaged_folder(small_model: Path, tmp_path: Path) -> None:
    folder = tmp_path / "model"
    shutil.copytree(small_model, folder)
    (folder / "tokenizer.json").write_text(json.dumps({"model": 3}))
    with pytest.raises(TokenizerError, match=r"tokenizer.json must be a tokenizer, not: "):
        open_tokenizer(folder, "c" * 64)
    (folder / "tokenizer_config.json").write_text("{")
    with pytest.raises(TokenizerError, match=r"tokenizer_config.json must be JSON, not: "):
        open_tokenizer(folder, "c" * 64)
