"""Every instruction, declared once.

The encoder, the assembler and disassembler, the machine model, the gateware decoder, the generator
of random programs and the reference in the docs all read `INSTRUCTIONS`.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum

from alula.design.engines import MOST_ROWS
from alula.isa.cycles import EXACT, Cycles
from alula.isa.fields import Choice, Field, Immediate, Operand, Register
from alula.isa.formats import FORMATS, PATTERNS
from alula.isa.formula import Formula
from alula.isa.functions import FUNCTIONS


class Engine(IntEnum):
    """The six engines; the value is the bit of `wait` and `signal`."""

    LD = 0
    ST = 1
    MM = 2
    MV = 3
    MISC = 4
    SYS = 5


@dataclass(frozen=True)
class Instruction:
    """One instruction: its name, the engine that runs it, its code and its fields in bit order."""

    name: str
    engine: Engine
    opcode: int
    fields: tuple[Field, ...]
    doc: str
    cycles: Cycles

    def field(self, name: str) -> Field:
        """The field called `name`; KeyError if the instruction has none."""
        for field in self.fields:
            if field.name == name:
                return field
        raise KeyError(name)


MISC_COUNTS = {
    "rows": MOST_ROWS,
    **dict.fromkeys(("heads", "slot"), 255),
    **dict.fromkeys(("len", "count", "words"), 65535),
}
"""The most that MISC counts, by field, however large the buffers are."""


def _memory(name: str = "addr", bits: int = 32) -> Operand:
    return Operand(name, bits, "memory address, beats")


def _vector(name: str, doc: str) -> Operand:
    return Operand(name, 16, f"{doc}, vector buffer word")


_ROWS = Operand("rows", 8, "rows")
_FORMAT = Choice("fmt", (*FORMATS, *[""] * (16 - len(FORMATS))), "number format")
_SPARSITY = Choice("nm", (*PATTERNS, *[""] * (8 - len(PATTERNS))), "N:M pattern")
_FUNCTION = Choice("func", (*FUNCTIONS, *[""] * (16 - len(FUNCTIONS))), "function")
_TYPE = Choice("type", ("fp32", "bf16"), "element type in memory")

_PRODUCT = (
    _FORMAT,
    _SPARSITY,
    Operand("src", 13, "activations, activation buffer group"),
    Operand("groups", 9, "groups of 32 inputs in a row"),
    Operand("outputs", 15, "results of a row; ceil(outputs / (P R)) row blocks are taken"),
    Operand("rows", 8, "activation rows"),
    Operand("dst", 16, "results of row 0, vector buffer word"),
    Operand("stride", 12, "words from one result row to the next"),
)


def _cycles(
    formula: str, *counts: str, idle: str | None = None, slack: str | None = EXACT.text
) -> Cycles:
    several = (Formula(text) if text else None for text in (idle, slack))
    return Cycles(Formula(formula), counts, *several)


def _misc(work: str, *counts: str, slack: str = EXACT.text) -> Cycles:
    return _cycles(f"MISC + {work}", *counts, idle="MISC", slack=slack)


_PRODUCT_CYCLES = _cycles(
    "PRODUCT + MPE + HALVES * groups + P * R * (rows - T * (ceil(rows, T) - 1)) // F - (HALVES - 2)"
    " + (ceil(outputs, P * R) * ceil(rows, T) - 1) * max(HALVES * groups, P * R * T // F)",
    slack="1",
)


def _sync(engine: Engine, opcode: int, idle: str) -> Instruction:
    doc = "Wait and signal only: a place for tokens at the borders of a loop."
    return Instruction(f"{engine.name}.SYNC", engine, opcode, (), doc, _cycles(idle))


def _alu(name: str, opcode: int, doc: str, cycles: str = "EXECUTE") -> Instruction:
    fields = (
        Register("rd", "destination"),
        Register("a", "first operand"),
        Operand("b", 32, "second operand"),
    )
    return Instruction(name, Engine.SYS, opcode, fields, doc, _cycles(cycles))


INSTRUCTIONS: tuple[Instruction, ...] = (
    # LD: memory to the weight stream and the vector buffer
    Instruction(
        "LD.W",
        Engine.LD,
        0x01,
        (
            Choice("to", ("MV", "MM"), "engine that takes these beats"),
            _FORMAT,
            _SPARSITY,
            _memory(),
            Operand("blocks", 13, "row blocks"),
            Operand("groups", 9, "groups of 32 inputs in a row"),
            Operand("stride", 0, "beats from one row block to the next, 0 if packed (V8 only)"),
        ),
        "Push the beats of a weight matrix into the weight stream. Signals when the last has "
        "entered.",
        _cycles("LOAD + READ", slack=None),
    ),
    Instruction(
        "LD.V",
        Engine.LD,
        0x02,
        (
            _TYPE,
            _memory(),
            _vector("dst", "destination"),
            Operand("count", 20, "elements"),
        ),
        "Load a vector; the rest of its last word is zeroed.",
        _cycles(
            "LOAD + READ + max(ceil(count * BYTES, B), ceil(count, L))", "count", idle="LOAD_IDLE"
        ),
    ),
    Instruction(
        "LD.G",
        Engine.LD,
        0x03,
        (
            _TYPE,
            Operand("table", 22, "first row of the table, beats"),
            Operand("ids", 24, "row numbers, u32 from the start of a beat"),
            Operand("count", 8, "rows to gather"),
            Operand("len", 14, "elements of a row; table rows start at beats"),
            _vector("dst", "destination; rows follow each other at whole words"),
        ),
        "Gather rows of a table (embeddings) by number.",
        _cycles(
            "LOAD + 2 * READ + count * max(ceil(len * BYTES, B), ceil(len, L))",
            "count",
            "len",
            idle="LOAD_IDLE",
            slack=None,
        ),
    ),
    _sync(Engine.LD, 0x07, "LOAD_IDLE"),
    # ST: vector buffer and staging to memory
    Instruction(
        "ST.V",
        Engine.ST,
        0x08,
        (_vector("src", "source"), _memory(), Operand("count", 20, "elements, written as fp32")),
        "Store a vector. Signals when memory has acknowledged the last beat.",
        _cycles(
            "STORE + ACK + max(ceil(4 * count, B), ceil(count, L))", "count", idle="STORE_IDLE"
        ),
    ),
    Instruction(
        "ST.W",
        Engine.ST,
        0x09,
        (Operand("value", 32, "32-bit word"), _memory(), Operand("skip", 8, "words into the beat")),
        "Store one 32-bit word.",
        _cycles("STORE + ACK"),
    ),
    Instruction(
        "ST.K",
        Engine.ST,
        0x0A,
        (
            Operand("src", 10, "staging row of token 0, head 0"),
            _memory(),
            Operand("heads", 7, "KV heads; staging holds heads of a token together"),
            Operand("rows", 8, "tokens"),
            Operand("groups", 4, "groups of 32 in a head"),
            Operand("stride", 0, "beats from one head's K to the next"),
            Operand("position", 0, "position of token 0"),
        ),
        "Append K rows to the W8 matrices of a layer: values and scale of one row each.",
        _cycles(
            "ACK + rows * heads * (2 * groups + 1)",
            *("rows", "heads", "groups"),
            idle="STORE_IDLE",
            slack=None,
        ),
    ),
    Instruction(
        "ST.T",
        Engine.ST,
        0x0B,
        (
            Operand("src", 10, "staging row of token 0, head 0"),
            _memory(),
            Operand("heads", 7, "KV heads; staging holds heads of a token together"),
            Operand("rows", 8, "tokens"),
            Operand("groups", 4, "groups of 32 in a head"),
            Operand("stride", 0, "beats from one head's V to the next"),
            Operand("position", 0, "position of token 0"),
            Operand("pitch", 0, "beats from one row block of V to the next"),
            Operand("scales", 0, "beats from a head's V to its bf16 scales"),
        ),
        "Append V columns to the V8 matrices of a layer, transposed, and their scales.",
        _cycles(
            "ACK + rows * heads * (ceil(32 * groups, R) + 1)",
            *("rows", "heads", "groups"),
            idle="STORE_IDLE",
            slack=None,
        ),
    ),
    _sync(Engine.ST, 0x0F, "STORE_IDLE"),
    # MM, MV: the MPE
    Instruction(
        "MM",
        Engine.MM,
        0x10,
        _PRODUCT,
        "Product of streamed weights and any number of activation rows; each row block is replayed "
        "once for every T rows.",
        _PRODUCT_CYCLES,
    ),
    Instruction(
        "MV",
        Engine.MV,
        0x18,
        _PRODUCT,
        "Product of streamed weights and at most T activation rows; each beat is used as it comes.",
        _PRODUCT_CYCLES,
    ),
    _sync(Engine.MM, 0x17, "MPE_IDLE"),
    _sync(Engine.MV, 0x1F, "MPE_IDLE"),
    # MISC: the SFU lanes
    Instruction(
        "RMSNORM",
        Engine.MISC,
        0x20,
        (
            _vector("dst", "destination"),
            _vector("src", "source"),
            _vector("gain", "gain"),
            _ROWS,
            Operand("len", 14, "elements of a row; rows follow each other at whole words"),
            Register("inv", "1 / len, fp32"),
            Register("eps", "epsilon, fp32"),
        ),
        "Root mean square normalisation.",
        _misc(
            "rows * (2 * ceil(len, L) + PASS + MULTIPLY + SUM + NORM + TURN"
            " + 2 * MULTIPLY + WRITE + ROW)",
            "rows",
            "len",
        ),
    ),
    Instruction(
        "LAYERNORM",
        Engine.MISC,
        0x21,
        (
            _vector("dst", "destination"),
            _vector("src", "source"),
            _vector("gain", "gain, the bias in the words after it"),
            _ROWS,
            Operand("len", 14, "elements of a row; rows follow each other at whole words"),
            Register("inv", "1 / len, fp32"),
            Register("eps", "epsilon, fp32"),
        ),
        "Layer normalisation.",
        _misc(
            "rows * (4 * ceil(len, L) + PASS + ADD + SUM + MULTIPLY + TURN"
            " + ADD + MULTIPLY + SUM + NORM + TURN + ADD + 2 * MULTIPLY + WRITE"
            " + PASS + OPERAND + ADD + WRITE + ROW - 1)",
            "rows",
            "len",
            slack="rows",
        ),
    ),
    Instruction(
        "SOFTMAX",
        Engine.MISC,
        0x22,
        (
            _vector("src", "scores of row 0, replaced by probabilities"),
            _ROWS,
            Operand("len", 16, "valid entries of row 0"),
            Choice("step", ("0", "1"), "1: each row has one valid entry more than the row before"),
            Operand("stride", 14, "words from one row to the next"),
            _vector("scale", "factors of the entries (V's scales)"),
        ),
        "Softmax in two phases over each row, times a vector, zero up to a common multiple of 32.",
        _misc(
            "rows * (2 * ceil(len, L) + ceil(len + step * (rows - 1), 32) * (32 // L)"
            " + PASS + MAX + TURN + ADD + MULTIPLY + FUNCTION + WRITE + SUM + ROOT + TURN"
            " + 2 * MULTIPLY + WRITE + ROW - 1)",
            "rows",
            "len",
            slack="rows + 2 * rows * ceil(step * (rows - 1), L)",
        ),
    ),
    Instruction(
        "ROPE",
        Engine.MISC,
        0x23,
        (
            _vector("src", "heads of token 0, replaced"),
            _vector(
                "table", "cosines then sines of each token, dim elements apart as they are loaded"
            ),
            _ROWS,
            Operand("heads", 8, "heads of a token"),
            Immediate("dim", 10, "elements of a head"),
            Operand("stride", 14, "words from one token to the next"),
        ),
        "Rotary position embedding, half-split form.",
        _misc(
            "rows * heads * ceil(dim, L) + PASS + OPERAND + ROTATE + MULTIPLY + ADD + WRITE + ROW",
            "rows",
            "heads",
            slack="3 + rows * heads",
        ),
    ),
    Instruction(
        "ACT",
        Engine.MISC,
        0x24,
        (
            _FUNCTION,
            Choice("gated", ("0", "1"), "1: times b"),
            _vector("dst", "destination"),
            _vector("a", "argument"),
            _vector("b", "factor"),
            Operand("count", 16, "words"),
        ),
        "Activation function, optionally gated.",
        _misc(
            "count + PASS + TABLE * FUNCTION + MULTIPLY + gated * (OPERAND + MULTIPLY)"
            " + WRITE + ROW",
            "count",
        ),
    ),
    Instruction(
        "ADD",
        Engine.MISC,
        0x25,
        (
            _vector("dst", "destination"),
            _vector("a", "first summand"),
            _vector("b", "second summand"),
            _ROWS,
            Operand("words", 12, "words of a row; rows follow each other"),
            Choice("broadcast", ("0", "1"), "1: one row of b serves all rows (a bias)"),
        ),
        "Elementwise sum.",
        _misc(
            "rows * words + PASS + OPERAND + ADD + WRITE + ROW",
            "rows",
            "words",
        ),
    ),
    Instruction(
        "QUANT",
        Engine.MISC,
        0x26,
        (
            _vector("src", "row 0"),
            Operand("dst", 13, "activation buffer group"),
            Operand("slot", 8, "row of the destination matrix that row 0 becomes"),
            _ROWS,
            Operand("len", 16, "elements of a row, rounded up to 32 by the last word's zeros"),
            Operand("stride", 14, "words from one row to the next"),
        ),
        "Quantise rows to A8 in the activation buffer.",
        _misc(
            "rows * (2 * ceil(len, 32) * (32 // L) + PASS + MAX + MULTIPLY + TURN"
            " + ADD + MULTIPLY + PACK + ROW)",
            "rows",
            "len",
        ),
    ),
    Instruction(
        "QUANTKV",
        Engine.MISC,
        0x27,
        (
            _vector("src", "heads of token 0"),
            Operand("dst", 10, "staging row"),
            _ROWS,
            Operand("heads", 7, "KV heads of a token"),
            Immediate("dim", 10, "elements of a head"),
            Operand("stride", 14, "words from one token to the next"),
        ),
        "Quantise K or V rows to int8 with one scale a row, in staging.",
        _misc(
            "rows * heads * (ceil(dim, L) + ceil(dim, 32) * (32 // L) + PASS + MAX + KV + TURN"
            " + MULTIPLY + PACK + ROW)",
            "rows",
            "heads",
            "dim",
        ),
    ),
    Instruction(
        "ARGMAX",
        Engine.MISC,
        0x28,
        (
            _vector("src", "values"),
            Operand("count", 16, "values"),
            Operand("base", 20, "index of the first"),
            Choice("first", ("0", "1"), "1: forget earlier calls"),
        ),
        "Running argmax; SYS's ARG reads it.",
        _misc(
            "ceil(count, L) + PASS + MAX + ROW",
            "count",
        ),
    ),
    _sync(Engine.MISC, 0x2F, "MISC"),
    # SYS: the sequencer
    Instruction("NOP", Engine.SYS, 0x30, (), "Wait and signal only.", _cycles("EXECUTE")),
    Instruction(
        "LOOP",
        Engine.SYS,
        0x31,
        (
            Operand("count", 16, "iterations, 0 skips the body"),
            Immediate("body", 16, "instructions of the body"),
        ),
        "Repeat the instructions that follow; nests to a depth of 4.",
        _cycles("EXECUTE + 1 + count * REDIRECT", "count", idle="EXECUTE + REDIRECT"),
    ),
    Instruction(
        "LI",
        Engine.SYS,
        0x32,
        (Register("rd", "destination"), Immediate("value", 32, "value")),
        "Load an immediate.",
        _cycles("EXECUTE"),
    ),
    _alu("ADDR", 0x33, "rd = a + b, modulo 2^32."),
    _alu("SUBR", 0x34, "rd = a - b, modulo 2^32."),
    _alu("MULR", 0x35, "rd = a * b, modulo 2^32.", "EXECUTE + TIMES"),
    _alu("DIVR", 0x36, "rd = a // b, unsigned; b = 0 is undefined.", "EXECUTE + DIVIDE"),
    _alu("MINR", 0x37, "rd = min(a, b), unsigned."),
    Instruction(
        "ARG",
        Engine.SYS,
        0x38,
        (Register("rd", "destination"),),
        "rd = index found by ARGMAX.",
        _cycles("EXECUTE"),
    ),
    Instruction(
        "END",
        Engine.SYS,
        0x3F,
        (),
        "Stop once every engine is idle; raise done.",
        _cycles("EXECUTE", slack=None),
    ),
)

BY_NAME = {instruction.name: instruction for instruction in INSTRUCTIONS}
BY_OPCODE = {instruction.opcode: instruction for instruction in INSTRUCTIONS}
LOOP_DEPTH = 4
