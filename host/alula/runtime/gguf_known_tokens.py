"""Tokens that llama.cpp knows by their text, above all those that end an answer."""

from collections.abc import Callable, Mapping, MutableSequence

from alula.text.gguf.kinds import TokenKind

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
"""Texts of tokens that end an answer, whatever else the file says of them."""

_FILES = {
    "fim_pad": ("<|fim_pad|>", "<fim-pad>", "<fim_pad>", "<PAD>", "[PAD]"),
    "fim_rep": ("<|fim_repo|>", "<|repo_name|>", "<fim-repo>", "<REPO>", "<reponame>"),
    "fim_sep": ("<|file_sep|>", "<|plamo:file_separator|>"),
}
"""Tokens between files, which end an answer as well, by the key that may name another."""

_PARTS = {
    "fim_pre": (
        "<|fim_prefix|>",
        "<fim-prefix>",
        "<fim_prefix>",
        "<｜fim▁begin｜>",
        "<PRE>",
        "▁<PRE>",
        "<|code_prefix|>",
        "<|prefix|>",
        "<|plamo:fim_prefix|>",
    ),
    "fim_suf": (
        "<|fim_suffix|>",
        "<fim-suffix>",
        "<fim_suffix>",
        "<｜fim▁hole｜>",
        "<SUF>",
        "▁<SUF>",
        "<|code_suffix|>",
        "<|suffix|>",
        "<|plamo:fim_suffix|>",
    ),
    "fim_mid": (
        "<|fim_middle|>",
        "<fim-middle>",
        "<fim_middle>",
        "<｜fim▁end｜>",
        "<MID>",
        "▁<MID>",
        "<|code_middle|>",
        "<|middle|>",
        "<|plamo:fim_middle|>",
    ),
}
"""Tokens around a gap to fill, which are control tokens and end nothing."""

_OLD_KEYS = {"fim_pre": "prefix", "fim_suf": "suffix", "fim_mid": "middle"}
_SHOWN = ("<|channel|>", "<|message|>", "<|start|>", "<|constrain|>")
_TURN = "<|end|>"
_TURNS_THAT_GO_ON = (
    ({"<|return|>"}, {"<|call|>", "<|calls|>"}),
    ({"<|flush|>"}, {"<|call|>", "<|calls|>"}),
)
"""With a token of each set of a pair, `<|end|>` ends a part of an answer, not the answer."""

_STRIKE = "</s>"
_STRIKING = ("<|tool_response>", "<|plamo:eos|>")
"""With one of these among the ends, `</s>` is HTML."""


def mark_known(
    ids: Mapping[str, int],
    kinds: MutableSequence[TokenKind],
    special: Callable[[str], int | None],
) -> tuple[int, ...]:
    """Mark the known tokens in `kinds`, and return the ids that end an answer, in order.

    Where a vocabulary holds several of the texts of a role, llama.cpp takes the one that its hash
    table happens to hold first; here each counts.

    Args:
        ids: ids by text.
        kinds: by id; changed.
        special: the id that the file names for a role ("eos", "fim_pad"), None if none.
    """

    def found(texts: tuple[str, ...]) -> list[int]:
        return [ids[text] for text in texts if text in ids]

    stops: set[int] = set()
    for role, texts in (_FILES | _PARTS).items():
        named = special(role)
        if named is None and role in _OLD_KEYS:
            named = special(_OLD_KEYS[role])
        members = [named] if named is not None else found(texts)
        if named is None:
            for index in members:
                kinds[index] |= TokenKind.CONTROL
        if role in _FILES:
            stops.update(members)
    for index in found(ENDS):
        kinds[index] |= TokenKind.CONTROL
        stops.add(index)
    for index in found(_SHOWN):
        kinds[index] = TokenKind.USER_DEFINED
    stops.update(index for role in ("eos", "eot", "eom") if (index := special(role)) is not None)
    ends = {text for text, index in ids.items() if index in stops}
    if _TURN in ends and any(ends & one and ends & other for one, other in _TURNS_THAT_GO_ON):
        stops.discard(ids[_TURN])
        kinds[ids[_TURN]] = TokenKind.USER_DEFINED
    if _STRIKE in ends and ends & set(_STRIKING):
        stops.discard(ids[_STRIKE])
        kinds[ids[_STRIKE]] = TokenKind.NORMAL
    return tuple(sorted(stops))
