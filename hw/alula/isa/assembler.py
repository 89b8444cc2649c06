"""Text to instructions and back.

One instruction a line, `;` starts a comment, fields in any order:

    LD.W to=MV fmt=W4 addr=r3+0x40 blocks=72 groups=18 signal=MV
    MV wait=MISC,LD fmt=W4 src=0 groups=18 outputs=576 rows=1 dst=r5
"""

import re
from collections.abc import Iterable, Sequence
from typing import cast

from alula.design import Design
from alula.isa.encoding import INSTRUCTION_BYTES, IsaError, Op, Ref, Value, encode
from alula.isa.fields import Choice, Field, Flag, Operand, RegisterField
from alula.isa.instructions import BY_NAME, LOOP_DEPTH, Engine
from alula.isa.program import MOST_BYTES, Program
from alula.isa.structure import MalformedProgram, check_structure

_REGISTER = re.compile("r[0-9]{1,3}")
_NUMBER = re.compile("-?([0-9]+|0x[0-9a-fA-F]+|0o[0-7]+|0b[01]+)")
_MOST_CHARACTERS = 1000
"""Of a line, without its comment."""
_COMMENTS = 96
"""Column of comments in a listing."""
_MOST_INSTRUCTIONS = MOST_BYTES // INSTRUCTION_BYTES
"""Of any design's program."""


def _format_value(item: Field, value: Value) -> str:
    if isinstance(value, Ref):
        if value.register == 0:
            return str(value.offset)
        return f"r{value.register}" + (f"+{value.offset}" if value.offset else "")
    if isinstance(item, Flag):
        return str(int(value))  # pyright: ignore[reportArgumentType]
    return f"r{value}" if isinstance(item, RegisterField) else str(value)


def format_op(op: Op) -> str:
    """One line of text: the name, the fields in declared order, then `wait` and `signal`."""
    op = op.canonical()
    words = [op.name]
    for item in op.instruction.fields:
        words.append(f"{item.name}={_format_value(item, op.values[item.name])}")
    for name, engines in (("wait", op.wait), ("signal", op.signal)):
        if engines:
            words.append(f"{name}={','.join(engine.name for engine in sorted(engines))}")
    return " ".join(words)


def _parse_number(place: str, text: str) -> int:
    if not _NUMBER.fullmatch(text):
        raise IsaError(f"{place} must be a number, not {text}")
    try:
        return int(text, 0)
    except ValueError:
        raise IsaError(f"{place} must be a number without leading zeros, not {text}") from None


def _parse_register(place: str, text: str) -> int:
    if not _REGISTER.fullmatch(text):
        raise IsaError(f"{place} must be a register such as r3, not {text}")
    return int(text[1:])


def _parse_value(place: str, item: Field, text: str) -> Value:
    match item:
        case Operand():
            if text[:1].isdigit() or text.startswith("-"):
                return Ref(0, _parse_number(place, text))
            head, plus, tail = text.partition("+")
            if not head.startswith("r"):
                raise IsaError(f"{place} must be such as 64, r3 or r3+64, not {text}")
            return Ref(_parse_register(place, head), _parse_number(place, tail) if plus else 0)
        case RegisterField():
            return _parse_register(place, text)
        case Choice():
            return text
        case _:
            return _parse_number(place, text)


def _parse_engines(place: str, text: str) -> frozenset[Engine]:
    engines: set[Engine] = set()
    for name in text.split(","):
        if name not in Engine.__members__:
            names = ", ".join(engine.name for engine in Engine)
            raise IsaError(f"{place} must name engines of {names}, not {name}")
        if Engine[name] in engines:
            raise IsaError(f"{place} must name {name} once, not twice")
        engines.add(Engine[name])
    return frozenset(engines)


def _parse_line(place: str, line: str) -> Op:
    name, *words = line.split()
    if name not in BY_NAME:
        raise IsaError(f"{place}: instruction must be one of {', '.join(BY_NAME)}, not {name}")
    instruction = BY_NAME[name]
    values: dict[str, Value] = {}
    engines = {"wait": frozenset[Engine](), "signal": frozenset[Engine]()}
    seen: set[str] = set()
    for word in words:
        key, equals, text = word.partition("=")
        where = f"{place}: {name} {key}"
        if not equals:
            raise IsaError(f"{place}: {name} operands must be field=value, not {word}")
        if key in seen:
            raise IsaError(f"{where} must be given once, not twice")
        seen.add(key)
        if key in engines:
            engines[key] = _parse_engines(where, text)
            continue
        try:
            item = instruction.field(key)
        except KeyError:
            known = ", ".join([*(field.name for field in instruction.fields), *engines])
            raise IsaError(f"{place}: {name} field must be one of {known}, not {key}") from None
        values[key] = _parse_value(where, item, text)
    op = Op(name, values, engines["wait"], engines["signal"])
    try:
        return op.canonical()
    except IsaError as error:
        raise IsaError(f"{place}: {error}") from None


def _numbered(text: str, source: str) -> list[tuple[int, Op]]:
    """Each instruction with the number of its line."""
    found: list[tuple[int, Op]] = []
    for number, line in enumerate(text.split("\n"), 1):
        code = line.partition(";")[0].strip()
        if not code:
            continue
        place = f"{source}:{number}"
        if len(code) > _MOST_CHARACTERS:
            most = f"at most {_MOST_CHARACTERS} characters"
            raise IsaError(f"{place}: a line must be {most}, not {len(code)}")
        if len(found) == _MOST_INSTRUCTIONS:
            most = f"at most {_MOST_INSTRUCTIONS} instructions"
            raise IsaError(f"{place}: code must be {most}, not more")
        found.append((number, _parse_line(place, code)))
    return found


def assemble(text: str, source: str = "<text>") -> list[Op]:
    """Instructions of a listing. IsaError names the source and line, the field and its limit."""
    return [op for _, op in _numbered(text, source)]


def assemble_program(text: str, design: Design, name: str, source: str = "<text>") -> Program:
    """The program of a listing for a design, without constants and inputs.

    Raises:
        IsaError: a line cannot be expressed, or a machine of the design cannot run the whole; names
            the source and line.
    """
    numbered = _numbered(text, source)
    ops = [op for _, op in numbered]
    try:
        check_structure(ops, design)
    except MalformedProgram as error:
        line = numbered[error.address][0] if numbered else 1
        raise IsaError(f"{source}:{line}: {error.fault}") from None
    return Program(name, design.hash, encode_all(ops), {}, {})


def disassemble(ops: Iterable[Op], comments: Sequence[str] = ()) -> str:
    """A listing that assembles to the same instructions, loop bodies indented.

    `comments`: a comment behind each instruction, on one line; "" for nothing.

    Loops deeper than a machine nests them, and bodies beyond the code, are listed as well.
    """
    lines: list[str] = []
    ends: list[int] = []
    for address, op in enumerate(ops):
        while ends and ends[-1] <= address:
            ends.pop()
        line = "    " * min(len(ends), LOOP_DEPTH) + format_op(op)
        comment = comments[address] if address < len(comments) else ""
        lines.append(f"{line:<{_COMMENTS}}  ; {comment}" if comment else line)
        if op.name == "LOOP":
            ends.append(address + 1 + cast(int, op.values.get("body", 0)))
    return "".join(line + "\n" for line in lines)


def encode_all(ops: Iterable[Op]) -> bytes:
    """The words of a program, one after the other."""
    return b"".join(encode(op) for op in ops)
