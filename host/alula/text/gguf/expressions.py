r"""llama.cpp's expressions as its own engine reads them, in the syntax of `tokenizers`.

llama.cpp matches with C++'s std::regex, which knows no Unicode: where an expression names a
category, each character outside ASCII becomes one byte that stands for its category, elsewhere
white space outside ASCII becomes a vertical tab. What follows from that is done here, since tokens
follow from it:

- Every letter is of every case: `\p{Lu}` is `\p{L}`.
- `\d` is a digit of ASCII.
- Characters are those of Unicode 15.
- White space is no member of a range that spans it.

A few expressions are names for code of llama.cpp's; what that code does is here as well.
"""

import re

_HAN = (
    "\\x{4E00}-\\x{9FFF}\\x{3400}-\\x{4DBF}\\x{20000}-\\x{2A6DF}\\x{2A700}-\\x{2B73F}"
    "\\x{2B740}-\\x{2B81F}\\x{2B820}-\\x{2CEAF}\\x{2CEB0}-\\x{2EBEF}\\x{F900}-\\x{FAFF}"
    "\\x{2F800}-\\x{2FA1F}"
)
_KIMI = (
    rf"[{_HAN}]+|[^\r\n\p{{L}}\p{{N}}]?(?:(?![{_HAN}])\p{{L}})+"
    r"(?:'[sS]|'[tT]|'[rR][eE]|'[vV][eE]|'[mM]|'[lL][lL]|'[dD])?"
    r"|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
_GPT2 = r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)"

_THREES = r"[^\p{N}]*+\p{N}{1,3}(?=(?:\p{N}{3})*(?!\p{N}))"
"""Digits in threes, counted from the right. What precedes a number belongs to its first digits."""

_BUILT_IN = {
    r"\p{Han}+": _KIMI,
    r"\p{AFMoE_digits}": _THREES,
    r"\d{1,3}(?=(?:\d{3})*\b)": _THREES,
    _GPT2: _GPT2 + r"|\s+",
}
_LATER = (
    r"\x{897}\x{1B4E}\x{1B4F}\x{1B7F}\x{1C89}\x{1C8A}\x{2427}-\x{2429}\x{31E4}\x{31E5}"
    r"\x{A7CB}-\x{A7CD}\x{A7DA}-\x{A7DC}\x{105C0}-\x{105FF}\x{10D40}-\x{10D8F}\x{10EC2}-\x{10EC4}"
    r"\x{10EFC}\x{11380}-\x{113FF}\x{116D0}-\x{116E3}\x{11BC0}-\x{11BFF}\x{11F5A}\x{13460}-\x{143FA}"
    r"\x{16100}-\x{1613F}\x{16D40}-\x{16D7F}\x{18CFF}\x{1CC00}-\x{1CEB3}\x{1E5D0}-\x{1E5FF}"
    r"\x{1F8B2}-\x{1F8BB}\x{1F8C0}\x{1F8C1}\x{1FA89}\x{1FA8F}\x{1FABE}\x{1FAC6}\x{1FADC}\x{1FADF}"
    r"\x{1FAE9}\x{1FBCB}-\x{1FBEF}"
)
"""Characters that Unicode 16 assigned. llama.cpp's tables do not have them in any category."""

_WIDE_SPACES = r"\x{85}\x{A0}\x{1680}\x{2000}-\x{200A}\x{2028}\x{2029}\x{202F}\x{205F}\x{3000}"
_ESCAPE = r"\\p\{\w+\}|\\u[0-9A-F]{4}|\\."
_TOKEN = re.compile(rf"(?P<set>\[\^?(?:\\.|[^\]\\])+\])|(?P<escape>{_ESCAPE})|(?P<end>\$)")


def translated(expression: str) -> str:
    """Return llama.cpp's expression as one that splits the same way in `tokenizers`."""

    def read(found: re.Match[str]) -> str:
        if found["set"]:
            return _set(found["set"])
        return r"\z" if found["end"] else _escape(found["escape"], "[0-9]")

    return _TOKEN.sub(read, _BUILT_IN.get(expression, expression))


def _set(text: str) -> str:
    spans = not text.isascii() and not text.startswith("[^")
    text = re.sub(_ESCAPE, lambda found: _escape(found[0], "0-9"), text)
    return f"{text[:-1]}&&[^{_WIDE_SPACES}]]" if spans else text


def _escape(text: str, digit: str) -> str:
    if text.startswith(r"\p{"):
        return rf"[\p{{{text[3]}}}&&[^{_LATER}]]"
    if text.startswith(r"\u"):
        return rf"\x{{{text[2:]}}}"
    return digit if text == r"\d" else text
