"""Sentence pieces, special tokens, ends and conversations, as llama.cpp has them."""

import random
import time
from collections.abc import Callable
from pathlib import Path

import gguf
import numpy as np
import pytest
from gguf import TokenType
from tests.llama_cpp import LlamaCpp, Tensors, write_model, write_vocabulary
from tests.text.corpus import TEXTS, text_pairs

from alula.frontend.gguf_file import GgufFile
from alula.runtime import TokenizerError
from alula.runtime.gguf_vocabulary import describe
from alula.runtime.tokenizer_sources import open_tokenizer
from alula.text.gguf.byte_pairs import ALPHABET
from alula.text.gguf.kinds import TokenKind
from alula.text.gguf.tokenizer import GgufTokenizer

FIRST = 257
"""The first special token of a vocabulary of bytes: behind them and one merge."""

Writer = Callable[[gguf.GGUFWriter], None]
SPECIAL = {
    "<unk>": TokenType.UNKNOWN,
    "<s>": TokenType.CONTROL,
    "</s>": TokenType.CONTROL,
    "<|user|>": TokenType.CONTROL,
    "  x": TokenType.USER_DEFINED,
    "né": TokenType.USER_DEFINED,
    "abcd": TokenType.USER_DEFINED,
    "cdefg": TokenType.USER_DEFINED,
    "lost": TokenType.UNUSED,
}
SPECIAL_TEXTS = (
    "<unk> is a word<unk>",
    "<s>[INST] hi [/INST]</s> a</s>",
    "<|user|> tell <|user|>\n\tme",
    "a  x né  xné",
    "abcdefgh abcdabcd cdefgabcd",
    "lost and lostlost",
    "",
    " ",
    "<s",
    "▁▁ a▁b",
    "aaaaaaa baabaaab ---- ------- !!!!!",
)


def opened(path: Path) -> GgufTokenizer:
    return GgufTokenizer(describe(GgufFile(path).metadata, path).vocabulary)


def assert_same_ids(path: Path) -> None:
    ours, theirs = opened(path), LlamaCpp(path)
    for text in (*SPECIAL_TEXTS, *TEXTS):
        assert ours.encode(text) == theirs.tokenize(text, special=True), text
        assert ours.encode(text, special=False) == theirs.tokenize(text), text


def pieces(path: Path, extra: Writer = lambda writer: None, scores: str = "ranks") -> Path:
    """A file of sentence pieces whose scores are ranks, chance, few values, equal, or absent."""
    chance = random.Random(1)
    tokens = [token for token in text_pairs(600)[0] if "\n" not in token]
    tokens += [f"{first}{second}" for first in "ab▁-" for second in ("aa", "ba", "---", "▁▁")]
    tokens = [token for token in dict.fromkeys(tokens) if token not in SPECIAL]
    values = {
        "ranks": [-float(rank) for rank in range(len(tokens))],
        "chance": [chance.uniform(-20, 0) for _ in tokens],
        "few": [-float(chance.randrange(3)) for _ in tokens],
        "equal": [0.0] * len(tokens),
        "none": None,
    }[scores]
    kinds = [TokenType.BYTE if token.startswith("<0x") else TokenType.NORMAL for token in tokens]

    def vocabulary(writer: gguf.GGUFWriter) -> list[str]:
        found = write_vocabulary(
            writer, tokens, special=SPECIAL, kinds=kinds, scores=values, model="llama", pre=None
        )
        writer.add_bos_token_id(found.index("<s>"))
        writer.add_eos_token_id(found.index("</s>"))
        writer.add_unk_token_id(found.index("<unk>"))
        extra(writer)
        return found

    return write_model(path, vocabulary)


@pytest.mark.parametrize("scores", ["ranks", "chance", "few", "equal", "none"])
def test_sentence_pieces_merge_by_score(scores: str, tmp_path: Path) -> None:
    assert_same_ids(pieces(tmp_path / "model.gguf", scores=scores))


@pytest.mark.parametrize(
    "extra",
    [
        lambda writer: writer.add_add_space_prefix(False),
        lambda writer: writer.add_add_bos_token(False),
        lambda writer: writer.add_add_eos_token(True),
        lambda writer: writer.add_remove_extra_whitespaces(True),
        lambda writer: writer.add_name("My Phi-3 Mini") or writer.add_bool("x", True),
    ],
    ids=["no-prefix", "no-bos", "eos", "extra-whitespace", "phi3-without-its-tokens"],
)
def test_settings_of_sentence_pieces(extra: Writer, tmp_path: Path) -> None:
    path = pieces(tmp_path / "model.gguf", extra)
    try:
        theirs = LlamaCpp(path)
    except RuntimeError:
        with pytest.raises(TokenizerError):
            opened(path)
        return
    del theirs
    assert_same_ids(path)


def byte_vocabulary(special: dict[str, TokenType], extra: Writer = lambda writer: None):
    def vocabulary(writer: gguf.GGUFWriter) -> list[str]:
        tokens = write_vocabulary(
            writer, [*sorted(ALPHABET), "ab"], merges=["a b"], special=special
        )
        extra(writer)
        return tokens

    return vocabulary


@pytest.mark.parametrize("name", ["phi-3", "other"])
def test_tokens_that_take_white_space(name: str, tmp_path: Path) -> None:
    special = SPECIAL | {"<|endoftext|>": TokenType.CONTROL}
    path = write_model(
        tmp_path / "model.gguf",
        byte_vocabulary(special, lambda writer: writer.add_name(f"a {name} model")),
    )
    assert_same_ids(path)


def answers(path: Path, special: dict[str, TokenType], extra: Writer) -> list[str]:
    """Write a model that answers the byte i with the i-th special token, and return those."""
    names = list(special)

    def tensors(found: Tensors) -> Tensors:
        rows = np.eye(len(found["token_embd.weight"]), 64, dtype=np.float32)
        found["token_embd.weight"] = rows
        found["output.weight"] = np.zeros_like(rows)
        found["output.weight"][FIRST : FIRST + len(names)] = rows[: len(names)]
        return found

    write_model(path, byte_vocabulary(special, extra), hidden=64, tensors=tensors)
    return names


ENDS = (
    "<|eot_id|>",
    "<|im_end|>",
    "<|end|>",
    "<|return|>",
    "<|call|>",
    "<|flush|>",
    "<|calls|>",
    "<end_of_turn>",
    "<|endoftext|>",
    "</s>",
    "<|eom_id|>",
    "<EOT>",
    "_<EOT>",
    "[EOT]",
    "[EOS]",
    "<|end_of_text|>",
    "<end_of_utterance>",
    "<eos>",
    "<turn|>",
    "<|tool_response>",
    "<｜end▁of▁sentence｜>",
    "[e~[",
    "<|ifm|im_end|>",
)
FILES = {"<|fim_pad|>", "<|repo_name|>", "<|file_sep|>", "<|fim_prefix|>", "<fim_suffix>", "<MID>"}
ENDINGS = {
    "all-control": dict.fromkeys((*ENDS, *FILES, "plain"), TokenType.CONTROL),
    "all-normal": dict.fromkeys((*ENDS, *FILES, "plain"), TokenType.NORMAL),
    "user-defined": dict.fromkeys(
        ("<|end|>", "<|im_end|>", "</s>", "mine"), TokenType.USER_DEFINED
    ),
    "harmony": dict.fromkeys(("<|end|>", "<|return|>", "<|call|>", "</s>"), TokenType.CONTROL),
    "solar": dict.fromkeys(("<|end|>", "<|flush|>", "<|calls|>"), TokenType.CONTROL),
    "half-solar": dict.fromkeys(("<|end|>", "<|flush|>", "<|return|>"), TokenType.CONTROL),
    "gemma4": dict.fromkeys(("</s>", "<|tool_response>", "<eos>"), TokenType.CONTROL),
    "plamo": dict.fromkeys(("</s>", "<|plamo:eos|>", "<|plamo:file_separator|>"), TokenType.NORMAL),
    "shown": dict.fromkeys(("<|channel|>", "<|start|>", "<|message|>"), TokenType.CONTROL),
}
NAMED: dict[str, Writer] = {
    "plain": lambda writer: None,
    "eos": lambda writer: writer.add_eos_token_id(FIRST + 1),
    "eot": lambda writer: writer.add_eot_token_id(FIRST + 2),
    "eom": lambda writer: writer.add_eom_token_id(FIRST + 2),
    "pad": lambda writer: writer.add_uint32("tokenizer.ggml.fim_pad_token_id", FIRST + 2),
    "far": lambda writer: writer.add_eos_token_id(100_000),
}


@pytest.mark.parametrize(
    ("ending", "named"),
    [*((ending, "plain") for ending in ENDINGS), *(("half-solar", named) for named in NAMED)],
)
def test_an_answer_ends_where_llama_cpp_ends_it(ending: str, named: str, tmp_path: Path) -> None:
    path = tmp_path / "model.gguf"
    names = answers(path, ENDINGS[ending], NAMED[named])
    described, theirs = describe(GgufFile(path).metadata, path), LlamaCpp(path)
    ours, expected = set(), set()
    for index, name in enumerate(names):
        answer = theirs.complete([index], 1)
        ended = answer["stop_type"] == "eos"
        assert ended or answer["tokens"] == [FIRST + index]
        expected |= {name} if ended else set()
        ours |= {name} if FIRST + index in described.stop_ids else set()
    assert ours == expected
    text = " ".join(names)
    assert opened(path).encode(text) == theirs.tokenize(text, special=True)


TEMPLATE = "{% for m in messages %}[{{ m['role'] }}]{{ m['content'] }}{% endfor %}[answer]"


@pytest.mark.parametrize("add_eos", [False, True])
@pytest.mark.parametrize("add_bos", [False, True])
@pytest.mark.parametrize("before", ["", "{{ bos_token }}", "{{ bos_token }}{{ bos_token }}"])
@pytest.mark.parametrize("behind", ["", "{{ eos_token }}"])
def test_a_conversation_has_the_ends_that_llama_cpp_gives_it(
    before: str, behind: str, add_bos: bool, add_eos: bool, tmp_path: Path, cache: Path
) -> None:
    def extra(writer: gguf.GGUFWriter) -> None:
        writer.add_chat_template(before + TEMPLATE + behind)
        writer.add_bos_token_id(FIRST)
        writer.add_eos_token_id(FIRST + 1)
        writer.add_add_bos_token(add_bos)
        writer.add_add_eos_token(add_eos)

    special = {"<bos>": TokenType.CONTROL, "<end>": TokenType.CONTROL}
    path = write_model(tmp_path / "model.gguf", byte_vocabulary(special, extra))
    messages = [{"role": "user", "content": "hi"}]
    ids = open_tokenizer(path, "f" * 64).encode_chat(messages)
    theirs = LlamaCpp(path)
    assert ids == theirs.tokenize(theirs.rendered(messages), special=True)
    assert len(ids) == theirs.chat_length(messages)


def pieces_of(path: Path) -> None:
    ours, theirs = opened(path), LlamaCpp(path)
    for index, kind in enumerate(ours.vocabulary.kinds):
        if not kind & TokenKind.BYTE:
            assert ours.shown(index) == theirs.detokenize([index]), ours.vocabulary.tokens[index]


def test_tokens_stand_for_the_same_text(tmp_path: Path) -> None:
    pieces_of(pieces(tmp_path / "pieces.gguf"))
    ascii = [character for character, byte in ALPHABET.items() if byte < 128]
    words = {"Ġthe": TokenType.NORMAL, "ĠÃ©t": TokenType.NORMAL, "ĠÃ©": TokenType.UNUSED}

    def vocabulary(writer: gguf.GGUFWriter) -> list[str]:
        return write_vocabulary(writer, [*ascii, "ab"], merges=["a b"], special=SPECIAL | words)

    pieces_of(write_model(tmp_path / "bytes.gguf", vocabulary))


def test_special_tokens_without_a_name_are_llama_cpps(tmp_path: Path) -> None:
    path = write_model(
        tmp_path / "model.gguf",
        byte_vocabulary({}, lambda writer: writer.add_add_bos_token(True)),
    )
    described = describe(GgufFile(path).metadata, path)
    assert (described.bos, described.eos, described.stop_ids) == (11, 11, (11,))
    assert opened(path).encode("a") == LlamaCpp(path).tokenize("a", special=True)


def test_setting_up_takes_time_by_the_size() -> None:
    """100,000 control tokens and a token of a million characters, in processor time."""
    control = [f"<|{number}|>" for number in range(100_000)]
    byte_pairs = {
        "tokenizer.ggml.model": "gpt2",
        "tokenizer.ggml.tokens": [*sorted(ALPHABET), *control],
        "tokenizer.ggml.token_type": [1] * 256 + [3] * len(control),
        "tokenizer.ggml.merges": [],
    }
    sentence_pieces = {
        "tokenizer.ggml.model": "llama",
        "tokenizer.ggml.tokens": ["<unk>", "<s>", "</s>", "▁", "a", "aa", "a" * 1_000_000],
    }
    for metadata, text, count in (
        (byte_pairs, "<|99999|>a<|7|>", 3),
        (sentence_pieces, "a" * 100_000, 2 + 50_000),
    ):
        start = time.process_time()
        tokenizer = GgufTokenizer(describe(metadata, "here").vocabulary)
        assert len(tokenizer.encode(text)) == count
        assert time.process_time() - start < 5
