"""Loops of benches end: the limit of a case counts cycles, so a loop must let cycles pass."""

import ast
from collections.abc import Iterator
from pathlib import Path

TESTS = Path(__file__).parents[1]


def endless(text: str) -> Iterator[int]:
    """Lines of `while` in coroutines that await nothing in what they repeat."""
    for coroutine in ast.walk(ast.parse(text)):
        if isinstance(coroutine, ast.AsyncFunctionDef):
            for loop in _own(coroutine):
                if isinstance(loop, ast.While) and not any(
                    isinstance(node, ast.Await) for node in _own(loop)
                ):
                    yield loop.lineno


def _own(node: ast.AST) -> Iterator[ast.AST]:
    """A node and what is in it, but not in functions that it defines."""
    yield node
    for child in ast.iter_child_nodes(node):
        if not isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            yield from _own(child)


def test_loops_let_cycles_pass() -> None:
    files = list(TESTS.rglob("*.py"))
    loops = [f"{file}:{line}" for file in files for line in endless(file.read_text("utf-8"))]
    assert loops == []


def test_one_that_does_not_is_found() -> None:
    head = "async def body(unit):\n    while not unit.done:\n        "
    assert list(endless(head + "await unit.cycles()")) == []
    assert list(endless(head + "unit.step()")) == [2]
    assert list(endless(head + "async def inner():\n            await unit.cycles()")) == [2]
