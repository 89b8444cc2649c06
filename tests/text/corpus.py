"""Texts that tokenizers differ in, and vocabularies trained on them."""

import json

from tokenizers import Tokenizer, models, pre_tokenizers, trainers

TEXTS = (
    "Hello world",
    " Hello  world",
    "Hello\n\nworld\n",
    "it's we're I'LL don'T",
    "1234567 12 1 3.14159",
    "  leading",
    "trailing   ",
    "tab\tsep\t\tx",
    "a\r\nb\r\n\r\nc",
    "naïve café — “quotes”…",
    "日本語のテキスト 中文",
    "emoji 😀👩‍👩‍👧 done",
    "for i in range(10):\n    print(i)\n",
    "x=1;y=2;\n\n\n  z",
    "CamelCaseWord HTTPServer v2.0",
    "∑∫ 5² ½ ٣٤",
    "\u00a0nbsp\u2003em",
    "!!! ??? ---",
    "foo/bar/baz\n/",
    "a<|eot|> b",
    "\n \n  \n",
    "don’t ’ll",
    "ABC'S Abc's",
    "e\u0301 combining é",
    " 12 345",
    "१२३ हिन्दी",
    "~~ a~b ~/x",
    "mixed日本abc한국어ไทย",
    "abc123456def7890",
    "\x1c\x1f\x00\x7f\x85 ctrl \x001234",
    "\u3000全角 、。「」\u3000",
    "IMGIMGABCZ <sentinel:12>",
    " ʼs ǅ ʰ ª º",
    "ſ ’S 'ſ K",
    "\u200cمی‌خواهم\u200d x",
    "العربية نص ١٢٣",
    "x" * 50 + " " * 40 + "y",
    "a\fb\vc \u2028d",
    "$100 +5 <tag> ^ ` |",
    "ﬁ ﬀ ℤ Ω K Å",
    "𝔘𝔫𝔦 𐐀𐐨 🏳️‍🌈",
    "12a 1234½ 1234_ ab\u200ccd",
    "zqj azqj zqj! zqjzqj 日zqj",
    "\u1c89\ua7cb \U0001cc00 1\U0001ccf05",
)


def byte_pairs(size: int = 900) -> tuple[list[str], list[str]]:
    """Tokens and merges in GPT-2's alphabet of bytes, trained without any split."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    return _trained(tokenizer, size, pre_tokenizers.ByteLevel.alphabet())


def text_pairs(size: int = 900) -> tuple[list[str], list[str]]:
    """Tokens and merges in UTF-8 with U+2581 for spaces, and a token for every byte."""
    tokens, merges = _trained(Tokenizer(models.BPE()), size, [])
    return [*(f"<0x{byte:02X}>" for byte in range(256)), "\n\n", "\n\n\n", *tokens], merges


def _trained(tokenizer: Tokenizer, size: int, alphabet: list[str]) -> tuple[list[str], list[str]]:
    trainer = trainers.BpeTrainer(vocab_size=size, initial_alphabet=alphabet, show_progress=False)
    texts = [first + second for first in TEXTS for second in TEXTS[:12]]
    if not alphabet:
        texts = [text.replace(" ", "▁") for text in texts]
    # llama.cpp ends a token at a NUL, and knows no token over the end of a line here.
    left_out = ("\0", "\n") if not alphabet else ("\0",)
    texts = [text.translate(dict.fromkeys(map(ord, left_out))) for text in texts]
    texts = [text.replace("<|eot|>", "<|").replace("zqj", "") for text in texts]
    tokenizer.train_from_iterator(texts, trainer)
    model = json.loads(tokenizer.to_str())["model"]
    tokens = sorted(model["vocab"], key=model["vocab"].get)
    # Words that no merge makes, which some pre-tokenisers look up whole.
    tokens += ["zqj", "Ġzqj" if alphabet else "▁zqj"]
    return tokens, [" ".join(merge) for merge in model["merges"]]
