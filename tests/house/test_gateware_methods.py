"""Methods of the gateware fit a screen or two, and nothing takes a dozen arguments by position."""

import ast
from collections.abc import Iterator
from pathlib import Path

import alula.gateware

MOST_LINES = 100
MOST_POSITIONAL = 8
_DEFINITIONS = ast.FunctionDef | ast.AsyncFunctionDef


def too_much(text: str) -> Iterator[str]:
    """Functions of more lines or more arguments by position than are allowed."""
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, _DEFINITIONS):
            assert node.end_lineno is not None
            lines = node.end_lineno - node.lineno + 1
            positional = len(node.args.posonlyargs) + len(node.args.args)
            if lines > MOST_LINES:
                yield f"{node.name}: {lines} lines"
            if positional > MOST_POSITIONAL:
                yield f"{node.name}: {positional} arguments"


def test_methods_are_short() -> None:
    root = Path(next(iter(alula.gateware.__path__)))
    found = {
        str(file.relative_to(root)): list(too_much(file.read_text("utf-8")))
        for file in root.rglob("*.py")
    }
    assert len(found) > 50
    assert {name: wrong for name, wrong in found.items() if wrong} == {}


def test_what_is_long_is_found() -> None:
    body = "    pass\n" * MOST_LINES
    assert list(too_much(f"def f(self):\n{body}")) == ["f: 101 lines"]
    assert list(too_much(f"def f(self):\n{body[9:]}")) == []
    names = ", ".join("abcdefgh")
    assert list(too_much(f"def f({names}): pass")) == []
    assert list(too_much(f"def f({names}, i): pass")) == ["f: 9 arguments"]
