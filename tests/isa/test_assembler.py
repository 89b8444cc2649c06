"""Text and instructions, both ways, and a line for every mistake."""

import textwrap

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from alula.isa import (
    INSTRUCTIONS,
    Engine,
    IsaError,
    Op,
    Ref,
    assemble,
    decode,
    disassemble,
    encode,
    encode_all,
    format_op,
)
from alula.isa.instructions import BY_NAME

from .strategies import listings, ops, ops_of

NAMES = ", ".join(BY_NAME)
ENGINES = "LD, ST, MM, MV, MISC, SYS"


@pytest.mark.parametrize("instruction", INSTRUCTIONS, ids=lambda item: item.name)
@given(data=st.data())
@settings(max_examples=30)
def test_text_and_back(instruction, data):
    op = data.draw(ops_of(instruction))
    text = format_op(op)
    assert "\n" not in text
    assert assemble(text) == [op]
    assert format_op(assemble(text)[0]) == text


@given(op=ops(), data=st.data())
def test_fields_may_stand_in_any_order(op, data):
    name, *words = format_op(op).split(" ")
    shuffled = data.draw(st.permutations(words))
    assert assemble(" ".join([name, *shuffled])) == [op]


@given(listings())
@settings(max_examples=60)
def test_listings_with_nested_loops_and_back(listing):
    text = disassemble(listing)
    assert assemble(text) == listing
    assert disassemble(assemble(text)) == text
    code = encode_all(listing)
    assert [decode(code[at : at + 16]) for at in range(0, len(code), 16)] == listing


@given(listings())
@settings(max_examples=60)
def test_bodies_are_indented_by_their_depth(listing):
    depth = [0] * len(listing)
    for address, op in enumerate(listing):
        if op.name == "LOOP":
            for inside in range(address + 1, address + 1 + op.values["body"]):
                depth[inside] += 1
    lines = disassemble(listing).splitlines()
    assert [(len(line) - len(line.lstrip())) // 4 for line in lines] == depth


def test_a_listing_reads_like_this():
    text = textwrap.dedent("""\
        LI rd=r1 value=7
        LOOP count=r1+2 body=4
            LOOP count=3 body=2
                NOP
                LD.W to=MV fmt=W4 nm=dense addr=r3+64 blocks=72 groups=18 stride=r0 signal=LD,MV
            SADD rd=r1 a=r1 b=4096
        END wait=ST
    """).replace("stride=r0", "stride=0")
    assert disassemble(assemble(text)) == text


def test_comments_blank_lines_bases_and_spaces():
    text = (
        "; head\n\n   LI  rd=r2\tvalue=0x10 ; ten\n;LI\n"
        "LI rd=r2 value=0b10000\nLI value=0o20 rd=r02"
    )
    assert assemble(text) == [Op("LI", {"rd": 2, "value": 16})] * 3


def test_fields_left_out_have_code_zero():
    assert assemble("LD.V") == [Op("LD.V").canonical()]
    assert format_op(Op("LD.V")) == "LD.V type=fp32 addr=0 dst=0 count=0"


def test_operands_are_written_short():
    line = "SADD rd=r0 a=r31 b={}"
    for ref, text in ((Ref(), "0"), (Ref(0, 5), "5"), (Ref(3), "r3"), (Ref(3, 5), "r3+5")):
        op = Op("SADD", {"rd": 0, "a": 31, "b": ref})
        assert format_op(op) == line.format(text)
    assert assemble("SADD a=r31 b=r0+5") == assemble("SADD a=r31 b=5")


def test_engines_are_written_in_their_order():
    op = Op("NOP", {}, frozenset(Engine), frozenset({Engine.SYS, Engine.LD}))
    assert format_op(op) == "NOP wait=LD,ST,MM,MV,MISC,SYS signal=LD,SYS"


def test_nothing_is_nothing():
    assert assemble("") == assemble("\n ; \n") == []
    assert disassemble([]) == ""
    assert encode_all([]) == b""


def test_a_loop_without_a_body_indents_nothing():
    assert disassemble([Op("LOOP"), Op("END")]) == "LOOP count=0 body=0\nEND\n"


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("FMA a=1", f"instruction must be one of {NAMES}, not FMA"),
        ("li rd=r1", f"instruction must be one of {NAMES}, not li"),
        ("LI rd", "LI operands must be field=value, not rd"),
        ("LI rd=r1 = 5", "LI field must be one of rd, value, wait, signal, not "),
        ("LI rd=r1 rd=r1", "LI rd must be given once, not twice"),
        ("NOP wait=LD wait=ST", "NOP wait must be given once, not twice"),
        ("LI to=r1", "LI field must be one of rd, value, wait, signal, not to"),
        ("END rd=r1", "END field must be one of wait, signal, not rd"),
        ("LI value=ten", "LI value must be a number, not ten"),
        ("LI value=r3", "LI value must be a number, not r3"),
        ("LI value=", "LI value must be a number, not "),
        ("LI value=1.5", "LI value must be a number, not 1.5"),
        ("LI value=0x100000000", "LI value must be 0..4294967295, not 4294967296"),
        ("LI value=-1", "LI value must be 0..4294967295, not -1"),
        ("LI rd=3", "LI rd must be a register such as r3, not 3"),
        ("LI rd=r", "LI rd must be a register such as r3, not r"),
        ("LI rd=r-1", "LI rd must be a register such as r3, not r-1"),
        ("LI rd=rx", "LI rd must be a register such as r3, not rx"),
        ("LI rd=r0x3", "LI rd must be a register such as r3, not r0x3"),
        ("LI rd=r3+1", "LI rd must be a register such as r3, not r3+1"),
        ("LI rd=r32", "LI rd must be 0..31, not 32"),
        ("LD.V dst=65536", "LD.V dst must be 0..65535, not 65536"),
        ("LD.V dst=r3+65536", "LD.V dst must be 0..65535, not 65536"),
        ("LD.V dst=r32+1", "LD.V dst register must be 0..31, not 32"),
        ("LD.V dst=r3+", "LD.V dst must be a number, not "),
        ("LD.V dst=r3+r4", "LD.V dst must be a number, not r4"),
        ("LD.V dst=r3-4", "LD.V dst must be a register such as r3, not r3-4"),
        ("LD.V dst=5+r3", "LD.V dst must be a number, not 5+r3"),
        ("LD.V dst=x", "LD.V dst must be such as 64, r3 or r3+64, not x"),
        ("LD.V dst=", "LD.V dst must be such as 64, r3 or r3+64, not "),
        ("LD.V dst=+5", "LD.V dst must be such as 64, r3 or r3+64, not +5"),
        ("LD.V dst=-1", "LD.V dst must be 0..65535, not -1"),
        ("LD.W stride=5", "LD.W stride must be a register alone, not +5"),
        ("LD.W stride=r3+5", "LD.W stride must be a register alone, not +5"),
        ("LD.W fmt=W5", "LD.W fmt must be one of W4, W8, V8, W3, W2, not W5"),
        ("LD.W fmt=", "LD.W fmt must be one of W4, W8, V8, W3, W2, not "),
        ("LD.V type=fp16", "LD.V type must be one of fp32, bf16, not fp16"),
        ("NOP wait=DMA", f"NOP wait must name engines of {ENGINES}, not DMA"),
        ("NOP wait=", f"NOP wait must name engines of {ENGINES}, not "),
        ("NOP signal=LD,", f"NOP signal must name engines of {ENGINES}, not "),
        ("NOP signal=ld", f"NOP signal must name engines of {ENGINES}, not ld"),
        ("NOP signal=LD,ST,LD", "NOP signal must name LD once, not twice"),
    ],
)
def test_a_mistake_is_named_with_its_line(line, message):
    with pytest.raises(IsaError) as error:
        assemble(f"; program\nNOP\n    {line} ; here\nFMA\n", "layer.s")
    assert str(error.value) == f"layer.s:3: {message}"


def test_a_text_without_a_file_is_named_too():
    with pytest.raises(IsaError, match=r"^<text>:1: instruction must be one of "):
        assemble("FMA")


@given(st.text(st.sampled_from("LIrdvalue=wait,+r0123x NOP;\n-"), max_size=40))
def test_any_text_is_a_listing_or_refused(text):
    try:
        listing = assemble(text, "f")
    except IsaError as error:
        refusal = str(error)
    else:
        assert assemble(disassemble(listing)) == listing
        refusal = "f:"
    assert refusal.startswith("f:")


def test_an_illegal_instruction_has_no_text():
    with pytest.raises(IsaError, match=r"^LI value must be 0..4294967295, not -1$"):
        format_op(Op("LI", {"value": -1}))


@given(ops())
def test_the_words_are_those_of_the_instructions(op):
    assert encode_all([op, op]) == encode(op) * 2
