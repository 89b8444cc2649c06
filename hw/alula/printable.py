"""Text from a file or a command line, as it may be shown: on one line, without control characters.

A terminal obeys escape sequences, carriage returns and bidirectional overrides, wherever they come
from; a model's name is no place for them.
"""

import unicodedata

_SHORT = {"\n": "\\n", "\r": "\\r", "\t": "\\t"}


def printable(text: str) -> str:
    """Return a text with everything that does not show itself escaped, by its code in hexadecimal.

    Controls, line ends, bidirectional marks, invisible characters, lone surrogates and unassigned
    code points are escaped; letters and signs of every script stay. A byte of a file name that is
    no UTF-8 shows as that byte.
    """
    if text.isprintable():
        return text
    return "".join(
        one if one.isprintable() or unicodedata.category(one) == "Zs" else _code(one)
        for one in text
    )


def _code(one: str) -> str:
    if one in _SHORT:
        return _SHORT[one]
    number = ord(one)
    if 0xDC80 <= number <= 0xDCFF:
        number -= 0xDC00
    if number < 0x100:
        return f"\\x{number:02x}"
    return f"\\u{number:04x}" if number < 0x10000 else f"\\U{number:08x}"
