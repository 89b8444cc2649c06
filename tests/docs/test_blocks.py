"""Every code block of the documentation does what its page says."""

import re
from pathlib import Path

import pytest
from tests.docs.blocks import ILLUSTRATIONS, MARKS, ROOT, Block, Runner, blocks, pages

BLOCKS = {str(page.relative_to(ROOT)): list(blocks(page)) for page in pages()}
RUNNABLE = {name: found for name, found in BLOCKS.items() if any(one.runs for one in found)}


def in_full() -> list:
    """Pages with blocks that need more than a moment, with what they need as marks."""
    needs = {
        name: frozenset().union(*(one.marks for one in found)) for name, found in BLOCKS.items()
    }
    return [
        pytest.param(name, marks=[pytest.mark.rtl, *(getattr(pytest.mark, mark) for mark in marks)])
        for name, marks in needs.items()
        if marks and marks <= {"rtl", "slow"}
    ]


def run(name: str, chosen: list[Block], folder: Path) -> None:
    runner = Runner(ROOT / name, folder)
    for block in chosen:
        runner.run(block)


@pytest.mark.parametrize("name", BLOCKS)
def test_blocks_are_told_apart(name: str) -> None:
    fences = re.findall(r"(?m)^```", (ROOT / name).read_text(encoding="utf-8"))
    assert len(fences) == 2 * sum(1 if one.expects is None else 2 for one in BLOCKS[name])
    for block in BLOCKS[name]:
        assert block.marks <= MARKS
        assert block.runs or block.title or block.language in ILLUSTRATIONS, block


@pytest.mark.parametrize("name", BLOCKS)
def test_blocks_of_source_files_are_in_them(name: str) -> None:
    for block in BLOCKS[name]:
        if (block.title or "").startswith(("hw/", "sim/", "sw/", "host/")):
            source = (ROOT / str(block.title)).read_text(encoding="utf-8")
            assert block.text in source, f"{name}:{block.line} differs from {block.title}"


def test_an_instruction_is_in_few_files() -> None:
    text = (ROOT / "docs/tutorials/instruction.md").read_text(encoding="utf-8")
    table = set(re.findall(r"(?m)^\| `(\w+/[\w/]+\.py)` \|", text))
    assert len(table) <= 10
    assert all((ROOT / name).is_file() for name in table)
    named = {
        str(path.relative_to(ROOT))
        for root in ("hw", "sim", "sw", "host")
        for path in (ROOT / root).rglob("*.py")
        if re.search(r"\b(SOFTCAP|soft_cap)\b", path.read_text(encoding="utf-8"))
    }
    assert named <= table


@pytest.mark.parametrize("name", RUNNABLE)
def test_blocks_run(name: str, tmp_path: Path) -> None:
    run(name, [block for block in RUNNABLE[name] if not block.marks], tmp_path)


@pytest.mark.parametrize("name", in_full())
def test_blocks_run_in_full(name: str, tmp_path: Path) -> None:
    run(name, RUNNABLE[name], tmp_path)
