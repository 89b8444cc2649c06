"""The gateware is of one dialect, and its methods fit a screen or two."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

import alula.gateware

ROOT = Path(__file__).parents[2]
MOST_LINES = 100
MOST_POSITIONAL = 8
_DEFINITIONS = ast.FunctionDef | ast.AsyncFunctionDef


def too_much(
    text: str, most_lines: int = MOST_LINES, most_positional: int = MOST_POSITIONAL
) -> Iterator[str]:
    """Functions of more lines or more arguments by position than are allowed."""
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, _DEFINITIONS):
            assert node.end_lineno is not None
            lines = node.end_lineno - node.lineno + 1
            positional = len(node.args.posonlyargs) + len(node.args.args)
            if lines > most_lines:
                yield f"{node.name}: {lines} lines"
            if positional > most_positional:
                yield f"{node.name}: {positional} arguments"


@pytest.fixture(scope="module")
def files() -> dict[str, str]:
    """The text of each file of the gateware."""
    root = Path(next(iter(alula.gateware.__path__)))
    return {str(file.relative_to(root)): file.read_text("utf-8") for file in root.rglob("*.py")}


def test_methods_are_short(files: dict[str, str]) -> None:
    found = {name: list(too_much(text)) for name, text in files.items()}
    assert len(found) > 50
    assert {name: wrong for name, wrong in found.items() if wrong} == {}


def test_no_function_anywhere_takes_a_dozen_arguments() -> None:
    """Commands aside, whose options are handed over by name."""
    paths = [path for root in ("hw", "sim", "sw", "host") for path in (ROOT / root).rglob("*.py")]
    assert len(paths) > 400
    found = {
        str(path): list(too_much(path.read_text("utf-8"), most_lines=1000, most_positional=11))
        for path in paths
        if path.parent.name != "cli"
    }
    assert {name: wrong for name, wrong in found.items() if wrong} == {}


@pytest.mark.parametrize(
    "other",
    [r"from amaranth import", r"import amaranth\b", r" +-{4,}$"],
    ids=["imports of Amaranth's language", "of all of Amaranth", "underlined docstrings"],
)
def test_one_dialect(files: dict[str, str], other: str) -> None:
    """`amaranth.hdl` has the language; sections of docstrings end with a colon."""
    assert [name for name, text in files.items() if re.search(f"^{other}", text, re.M)] == []


def test_what_is_long_is_found() -> None:
    body = "    pass\n" * MOST_LINES
    assert list(too_much(f"def f(self):\n{body}")) == ["f: 101 lines"]
    assert list(too_much(f"def f(self):\n{body[9:]}")) == []
    names = ", ".join("abcdefgh")
    assert list(too_much(f"def f({names}): pass")) == []
    assert list(too_much(f"def f({names}, i): pass")) == ["f: 9 arguments"]
