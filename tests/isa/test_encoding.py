"""Between instructions and words: identity both ways, and words for whatever is refused."""

import hashlib
import json
import re
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from alula.isa import INSTRUCTION_BYTES, INSTRUCTIONS, Engine, IsaError, Op, Ref, decode, encode
from alula.isa import encoding as encoding_module
from alula.isa.encoding import ENGINE_BITS, OPCODE_BITS, layout
from alula.isa.fields import Choice, Immediate, Operand, RegisterField
from alula.isa.instructions import BY_NAME, BY_OPCODE, Instruction

from .strategies import limits, ops, ops_of

EACH = pytest.mark.parametrize("instruction", INSTRUCTIONS, ids=lambda item: item.name)
NAMES = ", ".join(BY_NAME)


def word(op: Op) -> int:
    return int.from_bytes(encode(op), "little")


@EACH
@given(data=st.data())
@settings(max_examples=30)
def test_decode_undoes_encode(instruction, data):
    op = data.draw(ops_of(instruction))
    assert decode(encode(op)) == op == op.canonical()


@given(st.binary(min_size=INSTRUCTION_BYTES, max_size=INSTRUCTION_BYTES))
def test_any_word_is_an_instruction_or_refused(data):
    try:
        op = decode(data)
    except IsaError:
        return
    assert encode(op) == data


@EACH
@given(bits=st.integers(0, (1 << 8 * INSTRUCTION_BYTES) - 1))
@settings(max_examples=50)
def test_any_word_of_an_opcode_is_an_instruction_or_refused(instruction, bits):
    """Mostly valid words: the bits beyond the fields are cleared in every other one."""
    used = OPCODE_BITS + 2 * ENGINE_BITS + sum(field.width for field in instruction.fields)
    if bits & 1 << OPCODE_BITS:
        bits &= (1 << used) - 1
    bits = bits >> OPCODE_BITS << OPCODE_BITS | instruction.opcode
    data = bits.to_bytes(INSTRUCTION_BYTES, "little")
    reserved = any(
        isinstance(field, Choice)
        and not dict(enumerate(field.choices)).get(bits >> low & (1 << field.width) - 1)
        for field, low in layout(instruction)
    )
    if reserved or bits >> used:
        with pytest.raises(IsaError, match=rf"^{re.escape(instruction.name)} "):
            decode(data)
    else:
        assert encode(decode(data)) == data


@given(st.data())
def test_a_field_changes_its_own_bits_alone(data):
    op = data.draw(ops())
    if not op.instruction.fields:
        return
    field, low = data.draw(st.sampled_from(layout(op.instruction)))
    other = data.draw(ops_of(op.instruction)).values[field.name]
    changed = word(op) ^ word(Op(op.name, {**op.values, field.name: other}, op.wait, op.signal))
    assert changed & ~((1 << field.width) - 1 << low) == 0
    assert bool(changed) == (other != op.values[field.name])


def test_the_head_of_the_word():
    assert word(Op("NOP")) == 0x30
    for engine in Engine:
        assert word(Op("NOP", {}, frozenset({engine}))) == 0x30 | 1 << 6 + engine
        assert word(Op("NOP", {}, frozenset(), frozenset({engine}))) == 0x30 | 1 << 12 + engine


def test_the_place_of_each_part_in_one_word():
    op = Op("LD.W", {"to": "MM", "fmt": "V8", "nm": "4:16", "addr": Ref(31, 1), "stride": Ref(3)})
    assert word(op) == 1 | 1 << 18 | 2 << 19 | 3 << 23 | 31 << 26 | 1 << 31 | 3 << 95


def digest(instruction: Instruction) -> str:
    """Everything that the words of an instruction depend on."""
    contract = [
        (type(field).__name__, field.name, low, field.width, getattr(field, "choices", ()))
        for field, low in layout(instruction)
    ]
    text = repr((instruction.name, instruction.engine.name, instruction.opcode, contract))
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def test_the_encoding_has_not_drifted():
    """Programs on disk depend on it. A new instruction is a new entry, an old one never changes."""
    golden = json.loads((Path(__file__).parent / "golden.json").read_text())
    assert {item.name: digest(item) for item in INSTRUCTIONS} == golden["instructions"]


def test_fields_left_out_have_code_zero():
    assert word(Op("MV")) == 0x18
    assert Op("LD.V").canonical() == Op(
        "LD.V", {"type": "fp32", "addr": Ref(), "dst": Ref(), "count": Ref()}
    )


def test_a_plain_number_is_an_offset_from_r0():
    assert encode(Op("SADD", {"b": 7})) == encode(Op("SADD", {"b": Ref(0, 7)}))


def test_numbers_of_numpy_are_numbers():
    op = Op("LI", {"rd": np.int64(3), "value": np.uint32(1 << 31)})  # pyright: ignore
    assert op.canonical() == Op("LI", {"rd": 3, "value": 1 << 31})
    assert type(op.canonical().values["value"]) is int


def refusals(item: Instruction):
    """Each field one beyond each end, and of the wrong kind, with what is said then."""
    for field in item.fields:
        where = f"{item.name} {field.name}"
        match field:
            case Operand(bits=0):
                yield field, 1, f"{where} must be a register alone, not +1"
                yield field, Ref(1, 64), f"{where} must be a register alone, not +64"
                yield field, Ref(32, 0), f"{where} register must be 0..31, not 32"
            case Operand():
                top = (1 << field.bits) - 1
                yield field, top + 1, f"{where} must be 0..{top}, not {top + 1}"
                yield field, -1, f"{where} must be 0..{top}, not -1"
                yield field, Ref(1, top + 1), f"{where} must be 0..{top}, not {top + 1}"
                yield field, Ref(32, 0), f"{where} register must be 0..31, not 32"
                yield field, Ref(-1, 0), f"{where} register must be 0..31, not -1"
                yield field, "x", f"{where} must be 0..{top}, not x"
                yield field, True, f"{where} must be 0..{top}, not True"
                yield field, 0.0, f"{where} must be 0..{top}, not 0.0"
            case RegisterField():
                yield field, 32, f"{where} must be 0..31, not 32"
                yield field, -1, f"{where} must be 0..31, not -1"
                yield field, Ref(1), f"{where} must be 0..31, not Ref(register=1, offset=0)"
            case Immediate():
                low, high = limits(field)
                yield field, high + 1, f"{where} must be {low}..{high}, not {high + 1}"
                yield field, low - 1, f"{where} must be {low}..{high}, not {low - 1}"
                yield field, None, f"{where} must be {low}..{high}, not None"
            case Choice():
                names = ", ".join(choice for choice in field.choices if choice)
                for value in ("", "X9", 0):
                    yield field, value, f"{where} must be one of {names}, not {value}"


@EACH
def test_a_value_out_of_range_is_named_with_instruction_field_and_limit(instruction):
    for field, value, message in refusals(instruction):
        with pytest.raises(IsaError) as error:
            encode(Op(instruction.name, {field.name: value}))
        assert str(error.value) == message


@pytest.mark.parametrize(
    ("op", "message"),
    [
        (Op("FMA"), f"instruction must be one of {NAMES}, not FMA"),
        (Op("LI", {"immediate": 1}), "LI field must be one of rd, value, not immediate"),
        (Op("END", {"rd": 1}), "END field must be one of none, not rd"),
        (
            Op("LI", {"value": 1 << 32}),
            "LI value must be 0..4294967295, not 4294967296",
        ),
        (Op("LD.V", {"dst": 65536}), "LD.V dst must be 0..65535, not 65536"),
        (
            Op("LD.W", {"fmt": "W5"}),
            "LD.W fmt must be one of W4, W8, V8, W3, W2, not W5",
        ),
        (Op("NOP", {}, frozenset({6})), "NOP wait must be 0..5, not 6"),  # pyright: ignore
        (Op("NOP", {}, signal=frozenset({-1})), "NOP signal must be 0..5, not -1"),  # pyright: ignore
        (Op("NOP", {}, signal=frozenset({"LD"})), "NOP signal must be 0..5, not LD"),  # pyright: ignore
    ],
)
def test_what_a_wrong_instruction_is_told(op, message):
    with pytest.raises(IsaError) as error:
        encode(op)
    assert str(error.value) == message


@pytest.mark.parametrize(
    ("bits", "message"),
    [
        (0, "opcode must be a declared one, not 0x00"),
        (0x3E, "opcode must be a declared one, not 0x3e"),
        (0x3F | 1 << 18, "END must leave bits from 18 zero, not 0x1"),
        (0x32 | 5 << 55, "LI must leave bits from 55 zero, not 0x5"),
        (0x3F | 1 << 127, f"END must leave bits from 18 zero, not {1 << 109:#x}"),
        (0x01 | 5 << 19, "LD.W fmt must not have the reserved code 5"),
        (0x01 | 7 << 23, "LD.W nm must not have the reserved code 7"),
    ],
)
def test_what_a_wrong_word_is_told(bits, message):
    with pytest.raises(IsaError) as error:
        decode(bits.to_bytes(INSTRUCTION_BYTES, "little"))
    assert str(error.value) == message


@pytest.mark.parametrize("opcode", sorted(set(range(64)) - set(BY_OPCODE)))
def test_every_undeclared_opcode_is_refused(opcode):
    with pytest.raises(IsaError, match=f"^opcode must be a declared one, not {opcode:#04x}$"):
        decode(bytes([opcode]) + bytes(15))


@EACH
def test_every_reserved_code_and_stray_bit_is_refused(instruction):
    plain = word(Op(instruction.name))
    end = OPCODE_BITS + 2 * ENGINE_BITS
    for field, low in layout(instruction):
        end = low + field.width
        if isinstance(field, Choice):
            for code in range(1 << field.width):
                data = (plain | code << low).to_bytes(INSTRUCTION_BYTES, "little")
                if code < len(field.choices) and field.choices[code]:
                    assert decode(data).values[field.name] == field.choices[code]
                else:
                    message = (
                        f"^{instruction.name} {field.name} must not have the reserved code {code}$"
                    )
                    with pytest.raises(IsaError, match=message):
                        decode(data)
    for bit in range(end, 8 * INSTRUCTION_BYTES):
        with pytest.raises(
            IsaError, match=f"^{instruction.name} must leave bits from {end} zero, not "
        ):
            decode((plain | 1 << bit).to_bytes(INSTRUCTION_BYTES, "little"))


@pytest.mark.parametrize("size", [0, 15, 17, 32])
def test_a_word_has_sixteen_bytes(size):
    with pytest.raises(IsaError, match=f"^instruction must be 16 bytes, not {size}$"):
        decode(bytes(size))


def test_signed_immediates(monkeypatch):
    """No instruction has one yet."""
    fields = (Immediate("by", 4, "", signed=True), Choice("way", ("up", "", "down"), ""))
    item = Instruction("SHIFT", Engine.SYS, 0x3E, fields, "", "")
    monkeypatch.setitem(encoding_module.BY_NAME, "SHIFT", item)
    monkeypatch.setitem(encoding_module.BY_OPCODE, 0x3E, item)
    for value in range(-8, 8):
        op = Op("SHIFT", {"by": value, "way": "down"})
        assert decode(encode(op)) == op
        assert word(op) >> 18 == value % 16 | 2 << 4
    for value in (-9, 8):
        with pytest.raises(IsaError, match=f"^SHIFT by must be -8..7, not {value}$"):
            encode(Op("SHIFT", {"by": value}))
    with pytest.raises(IsaError, match=r"^SHIFT way must not have the reserved code 3$"):
        decode((0x3E | 3 << 22).to_bytes(16, "little"))
