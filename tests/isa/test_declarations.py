"""The declarations themselves: nothing overlaps, everything fits."""

from itertools import pairwise

import pytest

from alula.isa import FORMATS, INSTRUCTIONS, Engine
from alula.isa.cycles import Cycles
from alula.isa.encoding import ENGINE_BITS, INSTRUCTION_BYTES, OPCODE_BITS, IsaError, layout
from alula.isa.fields import REGISTER_BITS, REGISTERS, Choice, Immediate, Operand
from alula.isa.formula import Formula
from alula.isa.instructions import BY_NAME, BY_OPCODE, Instruction

EACH = pytest.mark.parametrize("instruction", INSTRUCTIONS, ids=lambda item: item.name)
HEAD = OPCODE_BITS + 2 * ENGINE_BITS


def test_names_and_opcodes_are_each_used_once():
    assert len(BY_NAME) == len(BY_OPCODE) == len(INSTRUCTIONS)


def test_every_engine_fits_its_bits_and_has_instructions():
    assert sorted(Engine) == list(range(ENGINE_BITS))
    assert {item.engine for item in INSTRUCTIONS} == set(Engine)


def test_registers_fit_their_bits():
    assert REGISTERS == 1 << REGISTER_BITS


@EACH
def test_opcode_fits_and_is_not_zero(instruction):
    assert 0 < instruction.opcode < 1 << OPCODE_BITS


@EACH
def test_fields_follow_the_head_without_gap_or_overlap_and_fit(instruction):
    placed = layout(instruction)
    ends = [HEAD] + [bit + field.width for field, bit in placed]
    assert [bit for _, bit in placed] == ends[:-1]
    assert all(low < high for low, high in pairwise(ends))
    assert ends[-1] <= 8 * INSTRUCTION_BYTES


@EACH
def test_field_names_differ_and_leave_wait_and_signal_free(instruction):
    names = [field.name for field in instruction.fields]
    assert len({*names, "wait", "signal"}) == len(names) + 2


@EACH
def test_names_can_be_written_in_a_listing(instruction):
    words = [instruction.name]
    for field in instruction.fields:
        words += [field.name, *(field.choices if isinstance(field, Choice) else ())]
    assert not any(set(" \t;=,+") & set(word) for word in words)
    assert all(word.isascii() for word in words)


@EACH
def test_everything_is_documented(instruction):
    texts = [instruction.doc, str(instruction.cycles), *(field.doc for field in instruction.fields)]
    assert all(text and text == text.strip() and "\n" not in text for text in texts)


@EACH
def test_choices_differ_and_code_zero_is_a_name(instruction):
    for field in instruction.fields:
        if isinstance(field, Choice):
            named = [choice for choice in field.choices if choice]
            assert len(set(named)) == len(named)
            assert field.choices[0]
            assert len(field.choices) <= 1 << field.width


def test_formats_in_use_are_choices_of_every_fmt():
    fields = [
        item.field("fmt") for item in INSTRUCTIONS if any(f.name == "fmt" for f in item.fields)
    ]
    assert fields
    for field in fields:
        assert isinstance(field, Choice)
        assert set(FORMATS) <= set(field.choices)


def test_fields_that_do_not_fit_are_refused():
    fields = tuple(Operand(name, 32, "") for name in "abc")
    with pytest.raises(IsaError, match=r"^X: fields must fit 128 bits, not 129$"):
        layout(Instruction("X", Engine.SYS, 1, fields, "", Cycles(Formula("1"))))


def test_a_field_that_is_not_there_is_a_key_error():
    with pytest.raises(KeyError):
        BY_NAME["LI"].field("immediate")


def test_widths():
    assert Operand("a", 32, "").width == 37
    assert Operand("a", 0, "").width == 5
    assert Immediate("a", 7, "").width == 7
    assert [Choice("a", ("x",) * count, "").width for count in (1, 2, 3, 4, 5)] == [1, 1, 2, 2, 3]
