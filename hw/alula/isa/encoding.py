"""Between `Op`s and 128-bit words: opcode, wait, signal, then the fields in order, from bit 0."""

import operator
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from typing import NamedTuple

from alula.design import INSTRUCTION_BYTES
from alula.isa.fields import (
    REGISTER_BITS,
    REGISTERS,
    Choice,
    Field,
    Flag,
    Immediate,
    Operand,
    RegisterField,
)
from alula.isa.instructions import BY_NAME, BY_OPCODE, Engine, Instruction

OPCODE_BITS = 6
ENGINE_BITS = len(Engine)


class IsaError(ValueError):
    """An instruction that cannot be expressed, or a word that means nothing."""


class Ref(NamedTuple):
    """The value of an `Operand`: `R[register] + offset`."""

    register: int = 0
    offset: int = 0


Value = Ref | int | str


@dataclass(frozen=True)
class Op:
    """One instruction of a program: its declaration's name and a value for each field.

    `values` maps a field's name to a `Ref` (Operand; a plain int means an offset from r0), an int
    (RegisterField, Immediate), a bool (Flag) or a str (Choice). Fields left out have code 0.
    """

    name: str
    values: Mapping[str, Value] = field(default_factory=dict)
    wait: frozenset[Engine] = frozenset()
    signal: frozenset[Engine] = frozenset()

    @property
    def instruction(self) -> Instruction:
        """The declaration."""
        try:
            return BY_NAME[self.name]
        except KeyError:
            names = ", ".join(BY_NAME)
            raise IsaError(f"instruction must be one of {names}, not {self.name}") from None

    def canonical(self) -> "Op":
        """The same instruction with every field present and in its own type."""
        return decode(encode(self))


@cache
def layout(instruction: Instruction) -> tuple[tuple[Field, int], ...]:
    """Each field with its lowest bit."""
    bit = OPCODE_BITS + 2 * ENGINE_BITS
    placed = []
    for item in instruction.fields:
        placed.append((item, bit))
        bit += item.width
    if bit > 8 * INSTRUCTION_BYTES:
        raise IsaError(
            f"{instruction.name}: fields must fit {8 * INSTRUCTION_BYTES} bits, not {bit}"
        )
    return tuple(placed)


def _within(op: Op, name: str, value: object, low: int, high: int) -> int:
    try:
        number = operator.index(value)  # pyright: ignore[reportArgumentType]
    except TypeError:
        number = None
    if number is None or isinstance(value, bool) or not low <= number <= high:
        raise IsaError(f"{op.name} {name} must be {low}..{high}, not {value}")
    return number


def _encode_field(op: Op, item: Field, value: Value) -> int:
    match item:
        case Operand():
            register, offset = value if isinstance(value, Ref) else (0, value)
            if item.bits == 0 and offset:
                raise IsaError(f"{op.name} {item.name} must be a register alone, not +{offset}")
            code = _within(op, f"{item.name} register", register, 0, REGISTERS - 1)
            return code | _within(op, item.name, offset, 0, (1 << item.bits) - 1) << REGISTER_BITS
        case RegisterField():
            return _within(op, item.name, value, 0, REGISTERS - 1)
        case Flag():
            return _within(op, item.name, int(value) if isinstance(value, bool) else value, 0, 1)
        case Immediate():
            mask = (1 << item.bits) - 1
            low = -(1 << item.bits - 1) if item.signed else 0
            return _within(op, item.name, value, low, low + mask) & mask
        case Choice():
            if not isinstance(value, str) or not value or value not in item.choices:
                names = ", ".join(choice for choice in item.choices if choice)
                raise IsaError(f"{op.name} {item.name} must be one of {names}, not {value}")
            return item.choices.index(value)


def _default(item: Field) -> Value:
    return item.choices[0] if isinstance(item, Choice) else 0


def _encode_engines(op: Op, name: str, engines: frozenset[Engine]) -> int:
    code = 0
    for engine in engines:
        code |= 1 << _within(op, name, engine, 0, ENGINE_BITS - 1)
    return code


def encode(op: Op) -> bytes:
    """The 16 bytes of an instruction, little-endian.

    IsaError names instruction, field, limit and value.
    """
    instruction = op.instruction
    names = {item.name for item in instruction.fields}
    for name in op.values:
        if name not in names:
            known = ", ".join(item.name for item in instruction.fields) or "none"
            raise IsaError(f"{op.name} field must be one of {known}, not {name}")
    word = instruction.opcode
    word |= _encode_engines(op, "wait", op.wait) << OPCODE_BITS
    word |= _encode_engines(op, "signal", op.signal) << OPCODE_BITS + ENGINE_BITS
    for item, bit in layout(instruction):
        word |= _encode_field(op, item, op.values.get(item.name, _default(item))) << bit
    return word.to_bytes(INSTRUCTION_BYTES, "little")


def _decode_field(name: str, item: Field, code: int) -> Value:
    match item:
        case Operand():
            return Ref(code & REGISTERS - 1, code >> REGISTER_BITS)
        case Flag():
            return bool(code)
        case Immediate(signed=True):
            return code - (code >> item.bits - 1 << item.bits)
        case Choice():
            if code >= len(item.choices) or not item.choices[code]:
                raise IsaError(f"{name} {item.name} must not have the reserved code {code}")
            return item.choices[code]
        case _:
            return code


def decode(data: bytes) -> Op:
    """The instruction in 16 bytes; IsaError for an unknown opcode, reserved code or stray bits."""
    if len(data) != INSTRUCTION_BYTES:
        raise IsaError(f"instruction must be {INSTRUCTION_BYTES} bytes, not {len(data)}")
    word = int.from_bytes(data, "little")
    opcode = word & (1 << OPCODE_BITS) - 1
    if opcode not in BY_OPCODE:
        raise IsaError(f"opcode must be a declared one, not {opcode:#04x}")
    instruction = BY_OPCODE[opcode]
    engines = word >> OPCODE_BITS
    wait, signal = (
        frozenset(engine for engine in Engine if engines >> shift + engine & 1)
        for shift in (0, ENGINE_BITS)
    )
    values: dict[str, Value] = {}
    end = OPCODE_BITS + 2 * ENGINE_BITS
    for item, bit in layout(instruction):
        code = word >> bit & (1 << item.width) - 1
        values[item.name] = _decode_field(instruction.name, item, code)
        end = bit + item.width
    if word >> end:
        raise IsaError(f"{instruction.name} must leave bits from {end} zero, not {word >> end:#x}")
    return Op(instruction.name, values, wait, signal)
