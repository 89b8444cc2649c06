"""How text is split before byte pairs merge, by `tokenizer.ggml.pre`: llama.cpp's table, as data.

The expressions are those that llama.cpp publishes; `expressions` says how its engine reads them.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace


@dataclass(frozen=True)
class PreTokenizer:
    """What llama.cpp knows of a pre-tokeniser.

    Attributes:
        expressions: each splits what the ones before it left whole.
        whole_words: a word that is a token is taken whole, whatever the merges say.
        whole_newlines: the same for a run of newlines.
        add_bos: whether a text starts with BOS where `tokenizer.ggml.add_bos_token` does not say.
        always_bos: whether it does so whatever the file says.
        default_bos: whether BOS is token 11 where the file names none.
        byte_level: whether tokens are spelled in GPT-2's alphabet of bytes. If not, they are
            UTF-8 with U+2581 for a space, and `<0x00>` to `<0xFF>` for what they do not spell.
        strips_before: a token that takes the white space before it.
    """

    expressions: tuple[str, ...]
    whole_words: bool = False
    whole_newlines: bool = False
    add_bos: bool = False
    always_bos: bool = False
    default_bos: bool = True
    byte_level: bool = True
    strips_before: str | None = None


_CONTRACTION = r"(?:'[sS]|'[tT]|'[rR][eE]|'[vV][eE]|'[mM]|'[lL][lL]|'[dD])"
_SPACES = r"|\s*[\r\n]+|\s+(?!\S)|\s+"
_REST = r"| ?[^\s\p{L}\p{N}]+[\r\n]*" + _SPACES
_REST_SLASH = r"| ?[^\s\p{L}\p{N}]+[\r\n/]*" + _SPACES
_WORD = r"[^\r\n\p{L}\p{N}]?\p{L}+"
_UPPER, _LOWER = r"[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]", r"[\p{Ll}\p{Lm}\p{Lo}\p{M}]"
_ASCII_UPPER, _ASCII_LOWER = r"((?=[\p{L}])([^a-z]))", r"((?=[\p{L}])([^A-Z]))"
_MARK_UPPER, _MARK_LOWER = r"((?=[\p{L}\p{M}])([^a-z]))", r"((?=[\p{L}\p{M}])([^A-Z]))"


def _cased(upper: str, lower: str, end: str = "") -> str:
    """Words of capitals and then small letters, either of them maybe missing."""
    start = r"[^\r\n\p{L}\p{N}]?"
    return f"{start}{upper}*{lower}+{end}|{start}{upper}+{lower}*{end}"


_OPTIONAL = _CONTRACTION + "?"
_GPT2_EXPRESSION = r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)"
_LLAMA3_EXPRESSION = _CONTRACTION + "|" + _WORD + r"|\p{N}{1,3}" + _REST
_QWEN2_EXPRESSION = _CONTRACTION + "|" + _WORD + r"|\p{N}" + _REST
_LINES = r"[^\n]+|[\n]+"
_CJK = "[一-龥぀-ゟ゠-ヿ]+"
_PUNCTUATED = r"""[!"#$%&'()*+,\-./:;<=>?@\[\\\]^_`{|}~][A-Za-z]+"""
_DEEPSEEK3_WORD = r"|[^\r\n\p{L}\p{P}\p{S}]?[\p{L}\p{M}]+| ?[\p{P}\p{S}]+"
_WIDE_CJK = "[一-龥ࠀ-一가-퟿]+"
_CASED_LETTERS = (
    "[A-Za-z\u00b5À-ÖØ-öø-ƺƼ-ƿǄ-ʓʕ-ʯͰ-ͳͶͷͻ-ͽͿΆΈ-ΊΌΎ-ΡΣ-ϵϷ-ҁҊ-ԯԱ-ՖႠ-ჅᎠ-Ᏽᏸ-ᏽᲐ-Ჺ"
    "Ჽ-Ჿᴀ-ᴫᵫ-ᵷᵹ-ᶚḀ-ἕἘ-Ἕἠ-ὅὈ-Ὅὐ-ὗὙὛὝὟ-\u1f7dᾀ-ᾴᾶ-ᾼ\u1fbeῂ-ῄῆ-ῌῐ-\u1fd3ῖ-\u1fdb"
    "ῠ-Ῥῲ-ῴῶ-ῼℂℇℊ-ℓℕℙ-ℝℤ\u2126ℨ\u212a-ℭℯ-ℴℹℼ-ℿⅅ-ⅉⅎↃↄⰀ-ⱻⱾ-ⳤⳫ-ⳮⳲⳳꙀ-ꙭꚀ-ꚛꜢ-ꝯꝱ-ꞇꞋ"
    "-ꞎꭰ-ꮿﬀ-ﬆﬓ-ﬗＡ-Ｚａ-ｚ𐐀-𐑏𐒰-𐓓𐓘-𐓻𐲀-𐲲𐳀-𐳲𑢠-𑣟𞤀-𞥃]+"
)
_SENTENCE = " ?[^(\\s|.,!?…。，、।۔،)]+"

_GPT2 = PreTokenizer((_GPT2_EXPRESSION,))
_DIGITS = PreTokenizer((r"\p{N}", _GPT2_EXPRESSION))
_LLAMA3 = PreTokenizer((_LLAMA3_EXPRESSION,), whole_words=True, add_bos=True)
_SMAUG = PreTokenizer((_LLAMA3_EXPRESSION,))
_CHATGLM = replace(_SMAUG, default_bos=False)
_GLM4 = replace(_CHATGLM, whole_words=True)
_QWEN2 = PreTokenizer((_QWEN2_EXPRESSION,))
_DEEPSEEK3 = PreTokenizer(
    (r"\p{N}{1,3}", _CJK, _PUNCTUATED + _DEEPSEEK3_WORD + r"[\r\n]*" + _SPACES)
)
_GPT4O = PreTokenizer(
    (_cased(_ASCII_UPPER, _ASCII_LOWER, _OPTIONAL) + r"|\p{N}{1,3}" + _REST_SLASH,)
)
_BAILING = PreTokenizer(
    (
        r"'(?:[sSdDmMtT]|[lL][lL]|[vV][eE]|[rR][eE])|" + _WORD + r"|\p{N}"
        r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]|\s+(?!\S)|\s+",
    )
)
_TINY_AYA = PreTokenizer(
    (
        r"\d{1,3}(?=(?:\d{3})*\b)",
        _cased(_UPPER, _LOWER, _OPTIONAL) + r"|\p{N}{1,3}" + _REST_SLASH,
    )
)
_BLOOM = PreTokenizer((_SENTENCE,))
_GEMMA4 = PreTokenizer((_LINES,), whole_newlines=True, always_bos=True, byte_level=False)
_MASKED = replace(_GPT2, strips_before="<mask>")

PRE_TOKENIZERS: Mapping[str, PreTokenizer] = {
    "default": PreTokenizer(
        (r"[\p{P}\$\+<=>\^~\|]+", _GPT2_EXPRESSION, r"\p{N}+", "[0-9][0-9][0-9]")
    ),
    "a.x-4.0": _GPT2,
    "afmoe": PreTokenizer(
        (
            r"\p{AFMoE_digits}",
            "[一-鿿㐀-䶿豈-﫿぀-ゟ゠-ヿ･-ﾟ⼀-⿟เ-๿຀-໿ក-៿က-႟ꩠ-ꩿꧠ-꧿가-힯ᄀ-ᇿ]+",
            _PUNCTUATED + _DEEPSEEK3_WORD + r"[\r\n]*" + _SPACES,
        )
    ),
    "bailingmoe": _BAILING,
    "bailingmoe2": _BAILING,
    "bloom": _BLOOM,
    "chameleon": PreTokenizer(
        (
            "<sentinel:[0-9]+>",
            "(IMGIMG)((A|B|C|D|E|F|G|H|I){1,4})Z",
            r"([\t\n]|    |  )",
            r"\p{N}",
            r"[\p{P}!-/:-@\[-`{-~]",
            _GPT2_EXPRESSION,
        ),
        add_bos=True,
    ),
    "chatglm-bpe": _CHATGLM,
    "codeshell": _DIGITS,
    "cohere2moe": _TINY_AYA,
    "command-r": _DIGITS,
    "dbrx": _SMAUG,
    "deepseek-coder": PreTokenizer(("[\r\n]", r"\s?\p{L}+", r"\s?\p{P}+", _WIDE_CJK, r"\p{N}")),
    "deepseek-llm": PreTokenizer(
        (
            "[\r\n]",
            r"\s?" + _CASED_LETTERS,
            r"\s?[!-/:-~！-／：-～‘-‟　-。]+",
            r"\s+$",
            _WIDE_CJK,
            r"\p{N}+",
        )
    ),
    "deepseek-r1-qwen": _QWEN2,
    "deepseek-v3": _DEEPSEEK3,
    "exaone": _DIGITS,
    "exaone-moe": PreTokenizer(
        (
            _CONTRACTION + r"|[^\r\n\p{L}\p{N}]?(?:\p{L}\p{M}*(?: \p{L}\p{M}*)*)+|\p{N}"
            r"| ?[^\s\p{L}\p{N}]+[\r\n/]?|\s*[\r\n]|\s+(?!\S)|\s+",
        )
    ),
    "exaone4": _GPT2,
    "f2llmv2": _QWEN2,
    "falcon": PreTokenizer((r"[\p{P}\$\+<=>\^~\|`]+", _GPT2_EXPRESSION, "[0-9][0-9][0-9]")),
    "falcon-h1": _LLAMA3,
    "falcon3": _LLAMA3,
    "gemma4": _GEMMA4,
    "gigachat": _GPT2,
    "glm4": _GLM4,
    "glm5": _GLM4,
    "gpt-2": _GPT2,
    "gpt-4o": _GPT4O,
    "gpt3-finnish": _BLOOM,
    "granite-docling": _GPT2,
    "granite-embed-multi-311m": _GEMMA4,
    "granite-embed-multi-97m": PreTokenizer(
        (_cased(_MARK_UPPER, _MARK_LOWER, _OPTIONAL) + r"|\p{N}{1,3}" + _REST_SLASH,),
        whole_words=True,
    ),
    "grok-2": _QWEN2,
    "hunyuan": _QWEN2,
    "hunyuan-dense": _DEEPSEEK3,
    "hy_v4": _DEEPSEEK3,
    "jais": _GPT2,
    "jais-2": PreTokenizer(
        (
            _CONTRACTION + "|" + _WORD + r"|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+"
            r"|\s{512}(?!\S)|\s{256}(?!\S)|\s{128}(?!\S)|\s{64}(?!\S)|\s{32}(?!\S)|\s{16}(?!\S)"
            r"|\s{8}(?!\S)|\s{4}(?!\S)|\s{1,2}(?!\S)|\s{1}",
        )
    ),
    "jina-de": _GPT2,
    "jina-es": _GPT2,
    "jina-v1-en": _GPT2,
    "jina-v2-code": _MASKED,
    "jina-v2-de": _MASKED,
    "jina-v2-es": _MASKED,
    "jina-v5-nano": _LLAMA3,
    "joyai-llm": _DEEPSEEK3,
    "k2-horizon": PreTokenizer(
        (_CONTRACTION + r"|[^\r\n\p{L}\p{N}]?(?:\p{L}|\p{M}|\u200C|\u200D)+|\p{N}{1,3}" + _REST,)
    ),
    "kanana2": _GPT4O,
    "kimi-k2": PreTokenizer((r"\p{Han}+",)),
    "kormo": _QWEN2,
    "laguna": PreTokenizer((_LINES, _QWEN2_EXPRESSION)),
    "lfm2": _LLAMA3,
    "llada-moe": _BAILING,
    "llama-bpe": _LLAMA3,
    "llama-v3": _LLAMA3,
    "llama3": _LLAMA3,
    "llama4": _GPT4O,
    "megrez": _QWEN2,
    "mellum": _GPT2,
    "mellum2": _DIGITS,
    "midm-2.0": _LLAMA3,
    "minerva-7b": _DIGITS,
    "minicpm5": PreTokenizer(
        (r"\p{N}{1,3}", _CONTRACTION + "|" + _WORD + r"|\p{N}+" + _REST), whole_words=True
    ),
    "minimax-m2": _GPT4O,
    "modern-bert": _GPT2,
    "mpt": _GPT2,
    "olmo": _GPT2,
    "phi-2": _GPT2,
    "pixtral": _LLAMA3,
    "poro-chat": _BLOOM,
    "qwen2": _QWEN2,
    "qwen35": PreTokenizer(
        (
            _CONTRACTION + r"|[^\r\n\p{L}\p{N}]?[\p{L}\p{M}]+|\p{N}"
            r"| ?[^\s\p{L}\p{M}\p{N}]+[\r\n]*" + _SPACES,
        )
    ),
    "refact": _DIGITS,
    "roberta-bpe": _GPT2,
    "sarvam-moe": PreTokenizer((_LINES,), byte_level=False),
    "seed-coder": PreTokenizer(
        (_CONTRACTION + "|" + _WORD + r"|\p{N}{1}| ?[^\s\p{L}\p{N}\r\n]+" + _SPACES,)
    ),
    "smaug-bpe": _SMAUG,
    "smollm": _DIGITS,
    "solar-open": _QWEN2,
    "spark2_5": PreTokenizer(
        (
            r"\p{N}{1,3}",
            _CJK,
            _PUNCTUATED + _DEEPSEEK3_WORD + r"|[\r\n]|\s+(?!\S)|\s+",
            r"\p{N}",
        )
    ),
    "stablelm2": _QWEN2,
    "starcoder": _DIGITS,
    "superbpe": PreTokenizer((r"\p{N}+", r"(?=(\d{3})+(?!\d))")),
    "talkie": _GPT4O,
    "tekken": PreTokenizer(
        (_cased(_ASCII_UPPER, _ASCII_LOWER) + r"|\p{N}" + _REST_SLASH,),
        whole_words=True,
        add_bos=True,
    ),
    "tiny_aya": _TINY_AYA,
    "trillion": _GPT2,
    "ufakzeka": PreTokenizer((_WORD + r"|\p{N}" + _REST,)),
    "viking": PreTokenizer((_SENTENCE, r"\p{N}")),
    "youtu": PreTokenizer(
        (
            "[가-힣ㄱ-ㆎ]+|[！…“”‘’—：；，、-〿︰-﹏]+|[ㄅ-ㄯ]+|[一-龥぀-ゟ゠-ヿ]+",
            _cased(_UPPER, _LOWER, _OPTIONAL) + r"|\p{N}" + _REST_SLASH,
        ),
        whole_words=True,
    ),
}
"""Every value of `tokenizer.ggml.pre` that is read, as llama.cpp b11549 has it."""

REFUSED: Mapping[str, str] = {
    "mmbert": "how it splits text is not known here",
    "whitespace": "llama.cpp itself aborts on two spaces",
}
"""The values that llama.cpp knows and Alula does not read, and why."""
