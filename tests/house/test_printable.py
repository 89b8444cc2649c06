"""What a terminal would obey is escaped, what people write is not."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from alula.printable import printable


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("model.gguf", "model.gguf"),
        ("naïve, 日本語\u3000ОК, a\u00a0b, 🙂", "naïve, 日本語\u3000ОК, a\u00a0b, 🙂"),
        ("a\nb\rc\td", r"a\nb\rc\td"),
        ("\x1b[31mred\x07\0", r"\x1b[31mred\x07\x00"),
        ("\x7f\x85\x9b2J", r"\x7f\x85\x9b2J"),
        ("\u202egpj.exe\u2066", r"\u202egpj.exe\u2066"),
        ("\u2028\u2029\ufeff\u200b", r"\u2028\u2029\ufeff\u200b"),
        ("\ud800", r"\ud800"),
        ("\udcff.s", r"\xff.s"),
        ("\U000e0001", r"\U000e0001"),
    ],
)
def test_printable(text: str, shown: str) -> None:
    assert printable(text) == shown


@given(st.text(st.characters()))
def test_anything_is_one_line_that_can_be_encoded(text: str) -> None:
    shown = printable(text)
    assert shown.splitlines() in ([shown], [])
    assert shown.encode().decode() == shown
    assert not any(ord(one) < 32 or 127 <= ord(one) < 160 for one in shown)
