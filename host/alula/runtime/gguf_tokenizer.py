"""The tokenizer in a GGUF file's metadata, built with the package `tokenizers`."""

from collections.abc import Mapping, Sequence
from typing import Any

from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers
from tokenizers.processors import TemplateProcessing

from alula.runtime.errors import TokenizerError

_CONTROL, _USER_DEFINED = 3, 4

_DIGITS = [pre_tokenizers.Digits(individual_digits=True)]
_LLAMA3 = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}"
    r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
_QWEN2 = _LLAMA3.replace(r"\p{N}{1,3}", r"\p{N}")
_TEKKEN = (
    r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+"
    r"|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*"
    r"|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)

# How text is split before merging, by `tokenizer.ggml.pre`: a pattern, or steps before GPT-2's own.
_SPLITS: Mapping[str, str | list[Any]] = {
    "default": [],
    "gpt-2": [],
    "smollm": _DIGITS,
    "refact": _DIGITS,
    "starcoder": _DIGITS,
    "llama-bpe": _LLAMA3,
    "llama3": _LLAMA3,
    "llama-v3": _LLAMA3,
    "smaug-bpe": _LLAMA3,
    "qwen2": _QWEN2,
    "deepseek-r1-qwen": _QWEN2,
    "tekken": _TEKKEN,
}
_BOS_BY_DEFAULT = ("llama-bpe", "llama3", "llama-v3", "tekken")


def build_tokenizer(metadata: Mapping[str, Any], where: object) -> Tokenizer:
    """Return the tokenizer that a GGUF file describes.

    Args:
        metadata: the file's keys and values.
        where: the file, for messages.

    Raises:
        TokenizerError: it is of a kind that is not supported, or incomplete.
    """
    kind = metadata.get("tokenizer.ggml.model")
    builders = {"gpt2": _byte_level, "llama": _sentence_piece}
    if kind not in builders:
        raise TokenizerError(f"tokenizer.ggml.model must be gpt2 or llama, not {kind!r} ({where})")
    tokens = metadata.get("tokenizer.ggml.tokens")
    if not isinstance(tokens, list) or not tokens:
        raise TokenizerError(
            f"tokenizer.ggml.tokens must be a list of tokens, not absent ({where})"
        )
    tokenizer = builders[kind](metadata, tokens, where)
    kinds = metadata.get("tokenizer.ggml.token_type") or ()
    for token, token_kind in zip(tokens, kinds, strict=False):
        if token_kind == _CONTROL:
            tokenizer.add_special_tokens([AddedToken(token, normalized=False, special=True)])
        elif token_kind == _USER_DEFINED:
            tokenizer.add_tokens([AddedToken(token, normalized=False)])
    default = kind == "llama" or metadata.get("tokenizer.ggml.pre") in _BOS_BY_DEFAULT
    bos = special_token(metadata, "bos")
    if bos is not None and metadata.get("tokenizer.ggml.add_bos_token", default):
        special = [(bos, metadata["tokenizer.ggml.bos_token_id"])]
        tokenizer.post_processor = TemplateProcessing(single=f"{bos} $A", special_tokens=special)
    return tokenizer


def special_token(metadata: Mapping[str, Any], name: str) -> str | None:
    """Return the text of the special token `name` ("bos", "eos"), None if there is none."""
    tokens, index = (
        metadata.get("tokenizer.ggml.tokens"),
        metadata.get(f"tokenizer.ggml.{name}_token_id"),
    )
    if not tokens or not isinstance(index, int) or not 0 <= index < len(tokens):
        return None
    return tokens[index]


def _byte_level(metadata: Mapping[str, Any], tokens: list[str], where: object) -> Tokenizer:
    pre = metadata.get("tokenizer.ggml.pre", "default")
    if pre not in _SPLITS:
        raise TokenizerError(
            f"tokenizer.ggml.pre must be one of {', '.join(_SPLITS)}, not {pre!r} ({where})"
        )
    try:
        merges = [_pair(merge) for merge in metadata.get("tokenizer.ggml.merges", ())]
        vocabulary = {token: index for index, token in enumerate(tokens)}
        tokenizer = Tokenizer(models.BPE(vocab=vocabulary, merges=merges))
    except Exception as error:
        raise TokenizerError(
            f"tokenizer.ggml.merges must fit the tokens, not: {error} ({where})"
        ) from None
    split = _SPLITS[pre]
    if isinstance(split, str):
        first = [pre_tokenizers.Split(Regex(split), behavior="isolated")]
        last = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    else:
        first, last = split, pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([*first, last])
    tokenizer.decoder = decoders.ByteLevel()
    return tokenizer


def _pair(merge: str) -> tuple[str, str]:
    left, _, right = merge.partition(" ")
    return left, right


def _sentence_piece(metadata: Mapping[str, Any], tokens: list[str], where: object) -> Tokenizer:
    scores = metadata.get("tokenizer.ggml.scores")
    if not isinstance(scores, list) or len(scores) != len(tokens):
        raise TokenizerError(
            f"tokenizer.ggml.scores must be {len(tokens)} numbers, not so ({where})"
        )
    vocabulary = {token: index for index, token in enumerate(tokens)}
    unknown = special_token(metadata, "unknown")
    tokenizer = Tokenizer(
        models.BPE(
            vocab=vocabulary,
            merges=_implied_merges(vocabulary, scores),
            unk_token=unknown,
            fuse_unk=True,
            byte_fallback=True,
        )
    )
    prepend, strip = [], []
    if metadata.get("tokenizer.ggml.add_space_prefix", True):
        prepend, strip = [normalizers.Prepend("▁")], [decoders.Strip(" ", 1, 0)]
    tokenizer.normalizer = normalizers.Sequence([*prepend, normalizers.Replace(" ", "▁")])
    tokenizer.decoder = decoders.Sequence(
        [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(), *strip]
    )
    return tokenizer


def _implied_merges(
    vocabulary: Mapping[str, int], scores: Sequence[float]
) -> list[tuple[str, str]]:
    """Return every pair of tokens that joins to a token, the best-scored results first."""
    pairs = []
    for token, index in vocabulary.items():
        for cut in range(1, len(token)):
            left, right = token[:cut], token[cut:]
            if left in vocabulary and right in vocabulary:
                pairs.append((-scores[index], vocabulary[left], vocabulary[right], left, right))
    return [(left, right) for *_, left, right in sorted(pairs)]
