"""YAML as far as designs need it: mappings, lists, text, whole numbers, fractions, true and false.

Read from the parser's events, so that nothing is built that the file does not spell out. Anchors,
aliases, merge keys and tags have no place in a design; and where YAML's versions differ over what
a word means (``yes``, ``010``, ``1:30``), it is text.
"""

import math
import re
from collections.abc import Iterator
from typing import Any

import yaml

DEPTH = 32
"""Mappings and lists in each other."""
NUMBER_LENGTH = 40
"""Characters of a number."""

_WHOLE = re.compile("[-+]?(0|[1-9][0-9]*)|0x[0-9a-fA-F]+")
_FRACTION = re.compile(r"[-+]?([0-9]+(?=[.eE])|(?=\.[0-9]))(\.[0-9]*)?([eE][-+]?[0-9]+)?")
_WORDS = {
    **dict.fromkeys(("", "~", "null", "Null", "NULL"), None),
    **dict.fromkeys(("true", "True", "TRUE"), True),
    **dict.fromkeys(("false", "False", "FALSE"), False),
}
_PARSER = getattr(yaml, "CBaseLoader", yaml.BaseLoader)


class PlainYamlError(ValueError):
    """What is no such YAML.

    Attributes:
        line: where, from 1 on; None if the file as a whole is to blame.
    """

    def __init__(self, message: str, mark: Any = None) -> None:
        super().__init__(message)
        self.line: int | None = mark.line + 1 if mark else None


def parse(text: str) -> Any:
    """Return what a YAML text of one document holds.

    Raises:
        PlainYamlError: it is no YAML, or asks for more than plain values.
    """
    try:
        return _document(yaml.parse(text, Loader=_PARSER))
    except yaml.MarkedYAMLError as error:
        raise PlainYamlError(f"broken: {error.problem}", error.problem_mark) from None
    except yaml.YAMLError as error:
        raise PlainYamlError(f"broken: {str(error).splitlines()[0]}") from None


def _document(events: Iterator[Any]) -> Any:
    whole: list[Any] = []
    # Every mapping and list that is still open, the innermost last, with a mapping's last key.
    opened: list[tuple[Any, list[str]]] = [(whole, [])]
    for event in events:
        match event:
            case yaml.DocumentStartEvent() if whole:
                raise PlainYamlError("a second document", event.start_mark)
            case yaml.AliasEvent():
                raise PlainYamlError(f"the alias *{event.anchor}", event.start_mark)
            case yaml.ScalarEvent() | yaml.CollectionStartEvent():
                _place(event, opened)
            case yaml.CollectionEndEvent():
                opened.pop()
    return whole[0] if whole else None


def _place(event: Any, opened: list[tuple[Any, list[str]]]) -> None:
    """Put a value in its place, or take a mapping's key; open what has values of its own."""
    if event.anchor:
        raise PlainYamlError(f"the anchor &{event.anchor}", event.start_mark)
    if event.tag:
        tag = event.tag.replace("tag:yaml.org,2002:", "!!")
        raise PlainYamlError(f"the tag {tag}", event.start_mark)
    inside, key = opened[-1]
    if isinstance(inside, dict) and not key:
        key.append(_key(event, inside))
        return
    value: Any
    match event:
        case yaml.ScalarEvent():
            value = _scalar(event)
        case yaml.MappingStartEvent():
            value = {}
        case _:
            value = []
    if isinstance(inside, dict):
        inside[key.pop()] = value
    else:
        inside.append(value)
    if isinstance(value, dict | list):
        if len(opened) > DEPTH:
            raise PlainYamlError(f"more than {DEPTH} lists in each other", event.start_mark)
        opened.append((value, []))


def _key(event: Any, inside: dict[str, Any]) -> str:
    if not isinstance(event, yaml.ScalarEvent):
        raise PlainYamlError("a key that is no text", event.start_mark)
    if event.value in inside:
        raise PlainYamlError(f"{event.value!r} given twice", event.start_mark)
    return event.value


def _scalar(event: Any) -> Any:
    text: str = event.value
    if not event.implicit[0]:
        return text
    if text in _WORDS:
        return _WORDS[text]
    whole = _WHOLE.fullmatch(text)
    if not whole and not _FRACTION.fullmatch(text):
        return text
    if len(text) > NUMBER_LENGTH:
        limit = f"a number of more than {NUMBER_LENGTH} characters"
        raise PlainYamlError(limit, event.start_mark)
    if whole:
        return int(text, 0)
    number = float(text)
    if math.isinf(number):
        raise PlainYamlError(f"a number as large as {text}", event.start_mark)
    return number
