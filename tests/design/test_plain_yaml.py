"""What YAML means here: what all its versions agree on, and nothing that is not spelt out."""

import contextlib
import time
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from alula.design import plain_yaml
from alula.design.plain_yaml import PlainYamlError, parse
from alula.design.shipped import shipped_designs

PARSERS = [yaml.BaseLoader, *([yaml.CBaseLoader] if yaml.__with_libyaml__ else [])]


@pytest.fixture(params=PARSERS, ids=lambda parser: parser.__name__, autouse=True)
def parser(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """libyaml, which PyYAML's wheels carry, and PyYAML's own parser."""
    monkeypatch.setattr(plain_yaml, "_PARSER", request.param)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("a: 1\nb: [x, {c: 2.5}]\n", {"a": 1, "b": ["x", {"c": 2.5}]}),
        ("a: 0\nb: -3\nc: +7\nd: 0x1F", {"a": 0, "b": -3, "c": 7, "d": 31}),
        ("[1., .5, -2.5e3, 1e3]", [1.0, 0.5, -2500.0, 1000.0]),
        ("[true, False, null, ~, ]", [True, False, None, None]),
        ("a:\n", {"a": None}),
        ("['1', \"true\", '']", ["1", "true", ""]),
        ("# nothing\n", None),
        ("---\na: |\n  1\n  2\n", {"a": "1\n2\n"}),
        # What versions of YAML take for different things is text.
        ("[yes, No, on, OFF, y]", ["yes", "No", "on", "OFF", "y"]),
        ("[010, 0o10, 0b1, 1_000, 1:30]", ["010", "0o10", "0b1", "1_000", "1:30"]),
        ("[2024-01-01, .inf, .nan, =, <<]", ["2024-01-01", ".inf", ".nan", "=", "<<"]),
        ("<<: {a: 1}\n", {"<<": {"a": 1}}),
        ("1: a\ntrue: b\n", {"1": "a", "true": "b"}),
    ],
)
def test_values(text: str, value: Any) -> None:
    found = parse(text)
    assert repr(found) == repr(value)


@pytest.mark.parametrize("name", sorted(shipped_designs()))
def test_shipped_designs_are_what_yaml_says(name: str) -> None:
    text = shipped_designs()[name].read_text()
    assert parse(text) == yaml.safe_load(text)


@pytest.mark.parametrize(
    ("text", "line", "words"),
    [
        ("a: 1\na: 2\n", 2, "'a' given twice"),
        ("a: !!int 3\n", 1, "the tag !!int"),
        ("a: ! 3\n", 1, "the tag !"),
        ("\n- !mine {}\n", 2, "the tag !mine"),
        ("- &a 1\n", 1, "the anchor &a"),
        ("- 1\n- *a\n", 2, "the alias *a"),
        ("a\n---\nb\n", 2, "a second document"),
        ("? {a: 1}\n: 2\n", 1, "a key that is no text"),
        ("9" * 41, 1, "a number of more than 40 characters"),
        ("-1e999", 1, "a number as large as -1e999"),
        ("{a: " * 40, 1, "more than 32 lists in each other"),
    ],
)
def test_refusals(text: str, line: int, words: str) -> None:
    with pytest.raises(PlainYamlError) as caught:
        parse(text)
    assert (str(caught.value), caught.value.line) == (words, line)


def test_a_bomb_is_refused_at_once() -> None:
    lines = ["m0: &m0 {a: 1}"]
    for number in range(1, 40):
        lines.append(f"m{number}: &m{number} {{<<: [*m{number - 1}, *m{number - 1}]}}")
    started = time.monotonic()
    with pytest.raises(PlainYamlError, match="the anchor &m0"):
        parse("\n".join(lines))
    assert time.monotonic() - started < 1


@given(st.text(st.sampled_from("ab1: -[]{}\n,'\"!&*#|>?\\0x.e\t%"), max_size=30))
def test_any_text_is_a_value_or_refused(text: str) -> None:
    with contextlib.suppress(PlainYamlError):
        parse(text)
