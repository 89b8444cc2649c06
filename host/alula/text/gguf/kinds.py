"""What a token is, by `tokenizer.ggml.token_type`."""

from enum import Flag, auto


class Kind(Flag):
    """What a token is. One without any is shown as nothing and is no token by its text."""

    NORMAL = auto()
    UNKNOWN = auto()
    CONTROL = auto()
    USER_DEFINED = auto()
    UNUSED = auto()
    BYTE = auto()


STORED = (Kind(0), *Kind)
"""Kinds by the number that a file stores."""

SPECIAL = Kind.CONTROL | Kind.USER_DEFINED | Kind.UNKNOWN
"""Tokens whose text is a token wherever it is in a text."""

HIDDEN = Kind.CONTROL | Kind.UNKNOWN
"""Tokens that an answer does not show."""
