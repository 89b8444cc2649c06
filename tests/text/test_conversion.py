"""The tokenizer of a folder is what transformers makes of it, over folders of many kinds."""

import json
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tokenizers import (
    AddedToken,
    Tokenizer,
    decoders,
    models,
    normalizers,
    pre_tokenizers,
    processors,
)

from alula.text.conversion import convert
from alula.text.errors import TextError

SPECIAL = ("<s>", "</s>", "<unk>", "<pad>")
NAMES = ("bos_token", "eos_token", "unk_token", "pad_token")
PIECES = (
    *("hello", " world", "the", " ", "  ", "\n", "é", "日本", "12", ".", "🦜", "\0", "a", " b"),
    *(*SPECIAL, "<|user|>", "<|tool|>", "<|x|>", "<|late|>", "<new>", "<image>", "tool"),
)
TEMPLATES = (
    """{% for m in messages %}{{ bos_token }}<|{{ m['role'] }}|>{{ m['content'] }}{{ eos_token }}
{% endfor %}{% if add_generation_prompt %}<|assistant|>{% endif %}""",
    """{{ unk_token }}{{ pad_token }}{{ sep_token }}{{ image_token }}{{ extra_special_tokens }}
{{ tools is none }}{{ documents is none }}{% for m in messages %}{{ m.content | trim }}|
{{ m | tojson }}{% endfor %}""",
    """{% for m in messages %}
    {%- if loop.first %}
  a
    {% endif %}
{{ m.content }}{% if m.role == 'system' %}{{ raise_exception('no system') }}{% endif %}
{% generation %}z{% endgeneration %}{% if loop.index == 2 %}{% break %}{% endif %}{% endfor %}
{{ strftime_now('%Y') }}""",
)
CHATS = (
    [{"role": "user", "content": " hi "}],
    [{"role": "system", "content": "é"}, {"role": "user", "content": "<|user|>"}],
    [{"role": role, "content": "a"} for role in ("user", "assistant", "user")],
)
CLASSES = (
    *(None, "PreTrainedTokenizerFast", "TokenizersBackend", "LlamaTokenizer", "GPT2TokenizerFast"),
    *("Qwen2Tokenizer", "GemmaTokenizer", "CodeLlamaTokenizer", "T5Tokenizer", "NoSuchTokenizer"),
)
MODELS = ("llama", "qwen2", "mistral", "gpt2", "gemma", "phi3", "smollm3", "opt", "unheardof", None)


def byte_pairs(draw: random.Random) -> Tokenizer:
    vocabulary = {char: i for i, char in enumerate(sorted(pre_tokenizers.ByteLevel.alphabet()))}
    merges = [("h", "e"), ("l", "l"), ("he", "ll"), ("Ġ", "w"), ("t", "h")]
    vocabulary |= {a + b: len(vocabulary) + i for i, (a, b) in enumerate(merges)}
    tokenizer = Tokenizer(models.BPE(vocab=vocabulary, merges=merges))
    digits = [pre_tokenizers.Digits(individual_digits=True)] if draw.random() < 0.5 else []
    last = pre_tokenizers.ByteLevel(add_prefix_space=draw.random() < 0.3)
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([*digits, last])
    if draw.random() < 0.3:
        tokenizer.normalizer = draw.choice([normalizers.NFKC(), normalizers.Lowercase()])
    tokenizer.decoder = decoders.ByteLevel()
    return tokenizer


def sentence_pieces(draw: random.Random) -> Tokenizer:
    tokens = ["<unk>", "<s>", "</s>", *(f"<0x{byte:02X}>" for byte in range(256))]
    merges = [("h", "e"), ("l", "l"), ("he", "ll"), ("▁", "w"), ("t", "h")]
    tokens += [*"▁abdehlorwt12.", *("".join(pair) for pair in merges)]
    vocabulary = {token: index for index, token in enumerate(tokens)}
    tokenizer = Tokenizer(
        models.BPE(
            vocab=vocabulary, merges=merges, unk_token="<unk>", fuse_unk=True, byte_fallback=True
        )
    )
    steps = [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse()]
    if draw.random() < 0.5:
        tokenizer.normalizer = normalizers.Sequence(
            [normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")]
        )
        steps.append(decoders.Strip(" ", 1, 0))
    else:
        scheme = draw.choice(["always", "never", "first"])
        tokenizer.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme=scheme)
    tokenizer.decoder = decoders.Sequence(steps)
    return tokenizer


def unigram(draw: random.Random) -> Tokenizer:
    vocabulary = [("<unk>", 0.0), ("<s>", 0.0), ("</s>", 0.0)]
    vocabulary += [(char, -5 - draw.random()) for char in "▁abdehlorwt12."]
    tokenizer = Tokenizer(models.Unigram([*vocabulary, ("▁hello", -3.0)], unk_id=0))
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    tokenizer.decoder = decoders.Metaspace()
    return tokenizer


def words(draw: random.Random) -> Tokenizer:
    vocabulary = {word: i for i, word in enumerate(["<unk>", "<s>", "</s>", "hello", "the", "."])}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    return tokenizer


def maybe_added(draw: random.Random, text: str) -> str | dict[str, Any]:
    """A special token as tokenizer_config.json may have it."""
    if draw.random() < 0.6:
        return text
    flags = {
        name: draw.random() < 0.2 for name in ("lstrip", "rstrip", "normalized", "single_word")
    }
    return {"__type": "AddedToken", "content": text, **flags}


def write_folder(folder: Path, draw: random.Random) -> None:
    """Write the files of a tokenizer: every setting is there in some folders."""
    tokenizer = draw.choice([byte_pairs, byte_pairs, sentence_pieces, unigram, words])(draw)
    for text in [*SPECIAL[: draw.choice([2, 4])], *draw.sample(["<|user|>", "tool", "  "], 2)]:
        flags = {name: draw.random() < 0.15 for name in ("lstrip", "rstrip", "single_word")}
        special = text in SPECIAL or draw.random() < 0.6
        tokenizer.add_tokens([AddedToken(text, special=special, normalized=False, **flags)])
    around = draw.choice([None, "<s> $A", "<s> $A </s>"])
    if around:
        tokens = [(text, tokenizer.token_to_id(text)) for text in ("<s>", "</s>")]
        tokenizer.post_processor = processors.TemplateProcessing(
            single=around, special_tokens=tokens
        )
    if draw.random() < 0.3:
        tokenizer.enable_truncation(draw.choice([3, 8]))
    if draw.random() < 0.3:
        tokenizer.enable_padding(length=draw.choice([None, 20]), pad_id=0, pad_token="<s>")
    tokenizer.save(str(folder / "tokenizer.json"))
    contents = {
        "tokenizer_config.json": tokenizer_config(draw, tokenizer.get_vocab_size()),
        "config.json": {"eos_token_id": draw.choice([1, 2, [1, 2], None])},
    }
    if model := draw.choice(MODELS):
        contents["config.json"]["model_type"] = model
    if draw.random() < 0.3:
        plain = {"content": "</s>", "lstrip": draw.random() < 0.3, "rstrip": False}
        contents["special_tokens_map.json"] = {"bos_token": "<s>", "eos_token": plain}
    if draw.random() < 0.2:
        contents["added_tokens.json"] = {"<|late|>": tokenizer.get_vocab_size()}
    if draw.random() < 0.5:
        contents["generation_config.json"] = {"eos_token_id": draw.choice([[5, 6], 7, None])}
    for name, content in contents.items():
        (folder / name).write_text(json.dumps(content))
    if draw.random() < 0.2:
        (folder / "chat_template.jinja").write_text(draw.choice(TEMPLATES))
    if draw.random() < 0.1:
        (folder / "additional_chat_templates").mkdir()
        (folder / "additional_chat_templates" / "tool_use.jinja").write_text("T")


def tokenizer_config(draw: random.Random, size: int) -> dict[str, Any]:
    """Return a tokenizer_config.json for a tokenizer of `size` tokens."""
    config: dict[str, Any] = {}
    for name, text in zip(NAMES, SPECIAL, strict=True):
        config[name] = draw.choice([maybe_added(draw, text), text, "<new>", None])
        if draw.random() < 0.2:
            del config[name]
    new = {"content": "<|tool|>", "special": draw.random() < 0.5, "normalized": False}
    optional: dict[str, Any] = {
        "tokenizer_class": draw.choice(CLASSES),
        "sep_token": "<sep>",
        "image_token": "<image>",
        "additional_special_tokens": [maybe_added(draw, "<|x|>"), "<|user|>"],
        "extra_special_tokens": draw.choice([["<|y|>"], {"image_token": "<image>"}]),
        "added_tokens_decoder": {str(draw.choice([size, size + 5])): new},
        "model_max_length": draw.choice([5, 10**30]),
        "padding_side": "left",
        "chat_template": draw.choice(
            [
                *TEMPLATES,
                [{"name": "default", "template": TEMPLATES[0]}, {"name": "rag", "template": "R"}],
                [{"name": "rag", "template": "R"}],
            ]
        ),
    }
    flags = ("add_bos_token", "add_eos_token", "add_prefix_space", "legacy", "split_special_tokens")
    optional |= {name: draw.random() < 0.6 for name in flags}
    often = {"tokenizer_class": 0.8, "chat_template": 0.7}
    kept = {name for name in optional if draw.random() < often.get(name, 0.15)}
    return config | {name: value for name, value in optional.items() if name in kept}


def outcome(function: Callable[..., Any], *arguments: Any, **named: Any) -> Any:
    """What a function gives, None if it refuses."""
    try:
        return function(*arguments, **named)
    except Exception:
        return None


@pytest.mark.parametrize("seed", range(40))
def test_as_transformers_has_it(tmp_path: Path, seed: int) -> None:
    from transformers import AutoTokenizer

    print(f"seed {seed}")
    draw = random.Random(seed)
    write_folder(tmp_path, draw)
    theirs = outcome(AutoTokenizer.from_pretrained, tmp_path, local_files_only=True)
    if theirs is None:
        with pytest.raises(TextError, match=r"^F must hold a tokenizer that transformers reads"):
            convert(tmp_path, "F")
        return
    ours = convert(tmp_path, "F")
    fill = getattr(theirs, "fill_token", None)
    assert ours.settings.own_texts == (() if fill is None else (fill,))
    for _ in range(20):
        text = "".join(draw.choices(PIECES, k=draw.randrange(12)))
        for special in (True, False):
            encoded = outcome(theirs, text, add_special_tokens=special)
            ids = encoded["input_ids"] if encoded else None
            assert outcome(ours.encode, text, special) == ids, text
            if ids is not None:
                assert ours.decode(ids) == theirs.decode(ids, skip_special_tokens=True), text
    for chat in CHATS:
        encoded = outcome(theirs.apply_chat_template, chat, add_generation_prompt=True)
        assert outcome(ours.encode_chat, chat) == (encoded["input_ids"] if encoded else None)
    assert ours.has_chat == (theirs.chat_template is not None)
    assert ours.stop_ids == stop_ids(tmp_path, theirs)


def stop_ids(folder: Path, tokenizer: Any) -> tuple[int, ...]:
    """What ends an answer of transformers' `generate`, and the tokenizer's own end."""
    from transformers import AutoConfig, GenerationConfig

    file = folder / "generation_config.json"
    found = GenerationConfig.from_pretrained(folder).eos_token_id if file.exists() else None
    if found is None:
        config = outcome(AutoConfig.from_pretrained, folder)
        plain = json.loads((folder / "config.json").read_text())["eos_token_id"]
        found = GenerationConfig.from_model_config(config).eos_token_id if config else plain
    listed = found if isinstance(found, list) else [found]
    return tuple(dict.fromkeys(x for x in (*listed, tokenizer.eos_token_id) if x is not None))
