"""The ISA reference, docs/reference/isa.md, rendered from the declarations."""

import textwrap
from collections.abc import Iterable, Iterator
from dataclasses import replace

from alula.design import GROUP
from alula.isa.assembler import assemble, format_op
from alula.isa.cycles import DISPATCH, LATENCIES, SIZES
from alula.isa.effects import BOUNDS, CAPACITIES, Error, Limit, Range, Space
from alula.isa.encoding import ENGINE_BITS, INSTRUCTION_BYTES, OPCODE_BITS, encode, layout
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
from alula.isa.formats import FORMATS, PATTERNS, QUARTERS, SCALE_MAX, BeatKind, WeightFormat
from alula.isa.functions import TABLES, Table
from alula.isa.instructions import INSTRUCTIONS, LOOP_DEPTH, Engine, Instruction

__all__ = ["EXAMPLE", "reference_text", "syntax"]

EXAMPLE = """\
; y[i] = W[i] x for three W4 matrices of 64 x 64 that lie one after the other in memory.
; Design kv260: a beat is 64 bytes, a row block 8 rows, a vector buffer word 16 lanes.
LI rd=r1 value=0x100                                ; where W[0] starts
LI rd=r2 value=0x1000                               ; where y[0] goes
LD.V addr=0x10 dst=0 count=64 signal=MISC           ; x, fp32
QUANT wait=LD src=0 dst=0 rows=1 len=64 stride=4 signal=MV
MV.SYNC wait=MISC                                   ; x is in the activation buffer
LOOP count=3 body=6
    LD.W to=MV fmt=W4 addr=r1 blocks=8 groups=2     ; 2 + 4 + 32 beats
    MV fmt=W4 src=0 groups=2 outputs=64 rows=1 dst=r3+64 stride=4 signal=ST
    ST.V wait=MV src=r3+64 addr=r2 count=64
    SADD rd=r1 a=r1 b=38
    SADD rd=r2 a=r2 b=4
    SADD rd=r3 a=r3 b=4
END
"""
"""A listing that the reference shows with its words; comments and spacing as in the docs."""

_ENGINES = {
    Engine.LD: "memory to the weight stream and the vector buffer",
    Engine.ST: "vector buffer and staging to memory",
    Engine.MM: "matrix by matrix, on the MPE",
    Engine.MV: "matrix by vectors, on the MPE",
    Engine.MISC: "the SFU lanes",
    Engine.SYS: "the sequencer itself",
}


def _table(head: Iterable[str], rows: Iterable[Iterable[str]]) -> Iterator[str]:
    head = list(head)
    yield "| " + " | ".join(head) + " |"
    yield "|" + "---|" * len(head)
    for row in rows:
        yield "| " + " | ".join(row) + " |"
    yield ""


def _word(field: Field) -> str:
    """A field as the syntax line shows it."""
    match field:
        case Operand(bits=0) | RegisterField():
            return f"{field.name}=rN"
        case Operand():
            return f"{field.name}=rN+u{field.bits}"
        case Flag():
            return f"{field.name}=0|1"
        case Immediate():
            return f"{field.name}={'s' if field.signed else 'u'}{field.bits}"
        case Choice():
            return f"{field.name}={'|'.join(choice for choice in field.choices if choice)}"


def syntax(instruction: Instruction) -> str:
    """The instruction in assembler form, wrapped, without `wait` and `signal`."""
    text = " ".join([instruction.name, *map(_word, instruction.fields)])
    return textwrap.fill(text, 96, subsequent_indent="    ", break_on_hyphens=False)


def _bits(low: int, width: int) -> str:
    return str(low) if width == 1 else f"{low}..{low + width - 1}"


def _kind(field: Field) -> str:
    match field:
        case Operand(bits=0):
            return "register's value"
        case Operand():
            return f"register's value + unsigned {field.bits}"
        case RegisterField():
            return "register number"
        case Flag():
            return "flag"
        case Immediate():
            return f"{'signed' if field.signed else 'unsigned'} {field.bits}"
        case Choice():
            codes = (f"{code} `{name}`" for code, name in enumerate(field.choices) if name)
            return "code: " + ", ".join(codes)


def _instruction(instruction: Instruction) -> Iterator[str]:
    yield f"### {instruction.name}"
    yield ""
    yield instruction.doc
    yield ""
    yield "```text"
    yield syntax(instruction)
    yield "```"
    yield ""
    yield f"Opcode `{instruction.opcode:#04x}`. [Cycles](#cycles): {instruction.cycles}."
    yield ""
    if instruction.fields:
        yield from _table(
            ("field", "bits", "width", "kind", "meaning"),
            (
                (f"`{item.name}`", _bits(low, item.width), str(item.width), _kind(item), item.doc)
                for item, low in layout(instruction)
            ),
        )
    yield from _effects(instruction)


_UNITS = {Space.VECTOR: "words", Space.MEMORY: "bytes", Space.STREAM: "bytes"}
_SPACES = {
    Space.VECTOR: "vector buffer",
    Space.ACTIVATIONS: "activation buffer",
    Space.STAGING: "staging",
    Space.MEMORY: "memory",
    Space.STREAM: "weight stream",
    Space.REGISTER: "register",
    Space.BEST: "ARGMAX's index",
}


def _effects(instruction: Instruction) -> Iterator[str]:
    """What is read and written, and what can go wrong."""
    effects = instruction.effects
    ranges = [("reads", one) for one in effects.reads]
    ranges += [("writes", one) for one in effects.writes]
    if ranges:
        yield from _table(
            ("", "where", "from", "rows", "of each row", "rows apart"),
            ((access, *_range(one)) for access, one in ranges),
        )
    errors = [*map(_limit, effects.limits)]
    if any(one.space in BOUNDS for _, one in ranges):
        errors.append((Error.OUT_OF_RANGE, "what is read and written must exist"))
    for apart in effects.apart:
        when = f" where `{apart.when}`" if apart.when else ""
        text = f"the range at `{apart.first}` must be that at `{apart.source}` or apart from it"
        errors.append((Error.UNDEFINED, text + when))
    errors += [(fault.error, fault.text) for fault in effects.faults]
    if errors:
        yield from _table(("error", "unless"), ((error.value, text) for error, text in errors))


def _range(one: Range) -> Iterator[str]:
    """Cells of a range: where, from, rows, of each row, rows apart."""
    yield _SPACES[one.space] + (", KV rows in it" if one.part else "")
    if one.space is Space.BEST:
        yield from ("", "", "", "")
        return
    skip = f", {'byte' if one.space is Space.MEMORY else 'row'} `{one.skip}`"
    first = "" if one.space is Space.STREAM else f"`{one.first}`"
    yield first + (skip if one.skip.text != "0" else "")
    if one.space is Space.REGISTER:
        yield from ("", "", "")
        return
    yield "as `ids` say" if one.gathered else f"`{one.rows}`"
    yield f"`{one.count}` {_UNITS.get(one.space, 'groups')}"
    unit = "beats" if one.space is Space.MEMORY else "words"
    yield f"`{one.stride}` {unit}" if one.stride.text != "0" else ""


def _limit(limit: Limit) -> tuple[Error, str]:
    name = limit.name or f"`{limit.value}`"
    detail = f" (`{limit.value}`)" if limit.name else ""
    when = f" where `{limit.when}`" if limit.when else ""
    return limit.error, f"{name}{detail} must be {limit.words('`{}`')}{when}"


def _opcodes() -> Iterator[str]:
    yield from _table(
        ("opcode", "instruction", "engine", "bits used", ""),
        (
            (
                f"`{instruction.opcode:#04x}`",
                f"[{instruction.name}](#{_anchor(instruction.name)})",
                instruction.engine.name,
                str(_bits_used(instruction)),
                instruction.doc,
            )
            for instruction in sorted(INSTRUCTIONS, key=lambda item: item.opcode)
        ),
    )


def _anchor(heading: str) -> str:
    """The anchor that Markdown renderers give a heading of these names."""
    return heading.lower().replace(".", "")


def _bits_used(instruction: Instruction) -> int:
    head = OPCODE_BITS + 2 * ENGINE_BITS
    return head + sum(field.width for field in instruction.fields)


def _beats(item: WeightFormat) -> str:
    values = f"{item.bits // 2} b G" if item.bits % 2 == 0 else f"ceil({item.bits} b G / 2)"
    parts = [values]
    if item.metas:
        parts.insert(0, f"ceil({_times(item.quarters(BeatKind.META))}b G / {QUARTERS})")
    if item.scales:
        parts.insert(0, f"ceil({_times(item.quarters(BeatKind.SCALE))}b / {QUARTERS})")
    if item.pattern.index_bits:
        parts.append(f"{_times(item.quarters(BeatKind.INDEX) // QUARTERS)}b G")
    return " + ".join(parts)


def _times(number: int) -> str:
    return "" if number == 1 else f"{number} "


def _formats() -> Iterator[str]:
    yield from _table(
        ("format", "bits", "scales", "metas", "beats of b row blocks of G groups"),
        (
            (
                f"`{item.name}`",
                str(item.bits),
                "bf16 a row" if item.scales else "none",
                f"scale and min a group of {GROUP}" if item.metas else "none",
                f"`{_beats(item)}`",
            )
            for item in FORMATS.values()
        ),
    )
    yield from textwrap.wrap(
        "With a pattern `N:M` a row block has P R rows, P = M / N. Groups have a signed scale for"
        " each row and no min, indices follow a group's values. W8 has no metas, V8 no pattern.",
        100,
    )
    yield ""
    yield from _table(
        ("pattern", "rows of a chain", "bits of an index", "beats of b row blocks of G groups, W4"),
        (
            (
                f"`{pattern.name}`",
                str(pattern.segments),
                str(pattern.index_bits),
                f"`{_beats(replace(FORMATS['W4'], pattern=pattern))}`",
            )
            for pattern in PATTERNS.values()
        ),
    )


def _signed_bits(low: int, high: int) -> int:
    return max((-low - 1 if low < 0 else 0).bit_length(), high.bit_length()) + 1


def largest_error(table: Table, points: int = 16) -> float:
    """The largest distance from the function, `points` places in each segment looked at."""
    scale = (table.high - table.low) / (table.segments << table.step_bits)
    step = (1 << table.step_bits) // points
    return max(
        abs(table(u) / (1 << table.fraction_bits) - table.function(table.low + u * scale))
        for u in range(0, table.segments << table.step_bits, step)
    )


def _tables() -> Iterator[str]:
    rows = []
    for table in TABLES:
        c0, c1 = table.coefficients
        rows.append(
            (
                f"`{table.name}`",
                f"[{table.low:g}, {table.high:g})",
                str(table.segments),
                str(table.step_bits),
                str(table.fraction_bits),
                f"{min(c0)}..{max(c0)}",
                f"{min(c1)}..{max(c1)} ({_signed_bits(min(c1), max(c1))} bits)",
                f"{largest_error(table):.1e}",
            )
        )
    yield from _table(
        ("table", "range", "segments", "bits of r", "fraction bits", "c0", "c1", "largest error"),
        rows,
    )


def _rules() -> Iterator[str]:
    yield from textwrap.wrap(
        "The tables of an instruction say what it reads and writes, and what must be so. The"
        " vector buffer counts words, memory beats; of the activation buffer and of staging a row"
        " has groups of 32, and `T` rows of activations share a group's address. Vectors are read"
        " as whole words, but what is behind their last element has no effect. Formulas"
        " are those of the cycles. A condition holds where it is not 0: `where(c, a, b)` is `a`"
        " there, else `b`; `beats(b, G)` and `W8(b, G)` are the beats of `b` row blocks of `G`"
        " groups in the instruction's format and in W8, `index_beats(b, G)` those of indices"
        " alone. Where a field that counts is 0 nothing is read or written. A run that breaks a"
        " rule ends, and the machine model names the rule.",
        100,
    )
    yield ""
    rows = ((f"`{key}`", doc) for key, doc in CAPACITIES.items())
    yield from _table(("size", "what it is"), rows)


def _cycles() -> Iterator[str]:
    yield from textwrap.wrap(
        "The cycles of an instruction are those in which its engine holds it, where the engine"
        " held nothing before and waits for nothing: tokens, weights and places in buffers are"
        " there. Instructions that follow each other overlap by a cycle. The sequencer takes"
        f" {DISPATCH} to hand an instruction to its engine. In the formulas, `ceil(a, b)` is a / b"
        " rounded up, `//` rounds"
        " down, and a name is a field of the instruction, a size or a latency:",
        100,
    )
    yield ""
    yield from _table(("size", "what it is"), ((f"`{key}`", doc) for key, doc in SIZES.items()))
    yield from _table(
        ("latency", "cycles of"), ((f"`{key}`", doc) for key, doc in LATENCIES.items())
    )
    yield "[gateware.md](../explanation/gateware.md#latencies) has their numbers, and a test"
    yield "compares them with what the gateware counts."
    yield ""


def _example() -> Iterator[str]:
    yield "```text"
    yield from EXAMPLE.splitlines()
    yield "```"
    yield ""
    yield "The same as the assembler encodes it, highest bit first, all fields written out:"
    yield ""
    yield "```text"
    for address, op in enumerate(assemble(EXAMPLE, "example")):
        word = int.from_bytes(encode(op), "little")
        yield f"{address:2}  {word:032x}"
        yield textwrap.fill(format_op(op), 96, initial_indent="    ", subsequent_indent="        ")
    yield "```"


def _lines() -> Iterator[str]:
    head = OPCODE_BITS + 2 * ENGINE_BITS
    engines = ", ".join(f"{engine.value} {engine.name}" for engine in Engine)
    yield "# Instructions"
    yield ""
    yield "<!-- Generated from alula.isa by `make docs`. -->"
    yield ""
    yield from textwrap.wrap(
        "What the symbols mean, what the numbers are and how the engines meet is in"
        " [machine.md](../explanation/machine.md) and [numerics.md](numerics.md); this page lists"
        " the instructions, their encoding and the tables.",
        100,
    )
    yield ""
    yield "## The word"
    yield ""
    yield f"An instruction is {INSTRUCTION_BYTES} bytes, little-endian. Bits count from the lowest."
    yield ""
    yield from _table(
        ("bits", "part", "meaning"),
        (
            (_bits(0, OPCODE_BITS), "opcode", "0 is no instruction"),
            (_bits(OPCODE_BITS, ENGINE_BITS), "`wait`", f"one bit an engine: {engines}"),
            (_bits(OPCODE_BITS + ENGINE_BITS, ENGINE_BITS), "`signal`", "the same"),
            (f"from {head}", "fields", "in declared order, without gaps; what is left is zero"),
        ),
    )
    yield from textwrap.wrap(
        f"A field that is a *register's value + unsigned n* has the register's number"
        f" (0..{REGISTERS - 1}) in its lowest {REGISTER_BITS} bits and the unsigned number above;"
        " the sum is taken modulo 2^32 when the sequencer dispatches the instruction. `r0` is zero,"
        " so a plain number is `r0` plus itself. Codes that are not listed are reserved: the"
        " decoder refuses them.",
        100,
    )
    yield ""
    yield "## The text"
    yield ""
    yield from textwrap.wrap(
        "One instruction a line, `;` starts a comment, fields as `name=value` in any order; a"
        " field left out has code 0. `rN` is a register, `uN` a number of N bits (decimal,"
        " `0x`, `0o` or `0b`), `rN+uM` either or both. Every instruction also takes `wait=` and"
        " `signal=` with engines, as in `wait=MISC,LD`. The body of a `LOOP` is the next `body`"
        f" instructions; loops nest to a depth of {LOOP_DEPTH}.",
        100,
    )
    yield ""
    yield "## All instructions"
    yield ""
    yield from _opcodes()
    for engine, job in _ENGINES.items():
        yield f"## {engine.name}: {job}"
        yield ""
        for instruction in INSTRUCTIONS:
            if instruction.engine is engine:
                yield from _instruction(instruction)
    yield "## Reads, writes and rules"
    yield ""
    yield from _rules()
    yield "## Cycles"
    yield ""
    yield from _cycles()
    yield "## Weight formats"
    yield ""
    yield from _formats()
    yield f"Activations are int8 with a scale of 1..{SCALE_MAX} for each {GROUP} inputs of a row."
    yield ""
    yield "## Tables of the SFU"
    yield ""
    yield "`y = c0[i] + ((c1[i] * r) >> bits of r)`, `i` the argument's high and `r` its low bits."
    yield ""
    yield from _tables()
    yield "## Example"
    yield ""
    yield from _example()


def reference_text() -> str:
    """The text of docs/reference/isa.md."""
    return "".join(line + "\n" for line in _lines())
