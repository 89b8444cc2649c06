"""What a token is, by `tokenizer.ggml.token_type`."""

from enum import Flag, auto


class TokenKind(Flag):
    """What a token is. One without any is shown as nothing and is no token by its text."""

    NORMAL = auto()
    UNKNOWN = auto()
    CONTROL = auto()
    USER_DEFINED = auto()
    UNUSED = auto()
    BYTE = auto()


STORED = (TokenKind(0), *TokenKind)
"""Kinds by the number that a file stores."""

SPECIAL = TokenKind.CONTROL | TokenKind.USER_DEFINED | TokenKind.UNKNOWN
"""Tokens whose text is a token wherever it is in a text."""

HIDDEN = TokenKind.CONTROL | TokenKind.UNKNOWN
"""Tokens that an answer does not show."""
