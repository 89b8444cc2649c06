"""The generated reference names everything, and is what is committed."""

import re
from pathlib import Path

import pytest
from tools.isa_reference import EXAMPLE, reference_text, syntax

from alula.isa import FORMATS, INSTRUCTIONS, Engine, assemble, disassemble
from alula.isa.encoding import layout
from alula.isa.fields import Choice
from alula.isa.formats import PATTERNS
from alula.isa.functions import TABLES

TEXT = reference_text()


def section(name: str) -> str:
    """The part of the text below a heading, up to the next."""
    return re.split(r"\n#+ ", TEXT.split(f"\n### {name}\n")[1])[0]


def test_what_is_committed_is_what_would_be_written():
    path = Path(__file__).resolve().parents[2] / "docs" / "reference" / "isa.md"
    assert path.read_text(encoding="utf-8") == TEXT, "to fix it: make docs"


@pytest.mark.parametrize("instruction", INSTRUCTIONS, ids=lambda item: item.name)
def test_each_instruction_has_all_of_its_declaration(instruction):
    text = section(instruction.name)
    for part in (instruction.doc, str(instruction.cycles), f"`{instruction.opcode:#04x}`"):
        assert part in text
    assert syntax(instruction) in text
    rows = [line.split(" | ") for line in text.splitlines() if line.startswith("| `")]
    assert len(rows) == len(instruction.fields)
    for row, (field, low) in zip(rows, layout(instruction), strict=True):
        high = low + field.width - 1
        bits = str(low) if low == high else f"{low}..{high}"
        assert row[:3] == [f"| `{field.name}`", bits, str(field.width)]
        assert row[4] == f"{field.doc} |"
        if isinstance(field, Choice):
            for code, name in enumerate(field.choices):
                assert not name or f"{code} `{name}`" in row[3]


def test_each_engine_has_a_section_with_its_instructions_in_order():
    headings = re.findall(r"^(##+) (\S+)", TEXT, re.MULTILINE)
    names = [name for depth, name in headings if depth == "###"]
    assert names == [
        item.name for engine in Engine for item in INSTRUCTIONS if item.engine is engine
    ]
    sections = [name.rstrip(":") for depth, name in headings if depth == "##"]
    assert [name for name in sections if name in Engine.__members__] == [e.name for e in Engine]


def test_links_lead_to_headings():
    anchors = {
        line.lstrip("# ").lower().replace(".", "")
        for line in TEXT.splitlines()
        if line.startswith("### ")
    }
    links = re.findall(r"\]\(#(\S+?)\)", TEXT)
    assert "\n## Cycles\n" in TEXT
    assert links.count("cycles") == len(links) - links.count("cycles") == len(INSTRUCTIONS)
    assert set(links) - {"cycles"} == anchors


def test_formats_and_tables_are_listed():
    for name in (*FORMATS, *PATTERNS, *(table.name for table in TABLES)):
        assert len(re.findall(rf"^\| `{name}` \|", TEXT, re.MULTILINE)) == 1


def test_the_syntax_line_is_in_assembler_form():
    assert syntax(INSTRUCTIONS[0]) == (
        "LD.W to=MV|MM fmt=W4|W8|V8|W3|W2 nm=dense|2:4|2:16|4:16|8:16 addr=rN+u32 blocks=rN+u13\n"
        "    groups=rN+u9 stride=rN"
    )


def test_the_example_assembles_and_is_shown_whole():
    ops = assemble(EXAMPLE)
    assert assemble(disassemble(ops)) == ops
    assert EXAMPLE in TEXT
    for address, op in enumerate(ops):
        if op.name == "LOOP":
            assert address + op.values["body"] == len(ops) - 2
    words = re.findall(r"^ ?(\d+)  ([0-9a-f]{32})$", TEXT, re.MULTILINE)
    assert [int(address) for address, _ in words] == list(range(len(ops)))


def test_the_examples_numbers_are_those_of_the_format():
    ops = assemble(EXAMPLE)
    product = next(op for op in ops if op.name == "LD.W")
    step = next(op for op in ops if op.name == "SADD" and op.values["rd"] == 1)
    blocks, groups = product.values["blocks"].offset, product.values["groups"].offset
    assert step.values["b"].offset == FORMATS["W4"].beats(blocks, groups)
