"""MISC: the SFU lanes."""

from alula.design import GROUP
from alula.design.engines import MOST_ROW_GROUPS, MOST_ROWS
from alula.isa.cycles import EXACT, Cycles
from alula.isa.effects import (
    Apart,
    DataFault,
    Effects,
    Error,
    Limit,
    Range,
    at_least,
    at_most,
    best,
    groups,
    multiple,
    staging,
    words,
)
from alula.isa.fields import Choice, Field, Flag, Immediate, Operand, RegisterField
from alula.isa.formula import Formula
from alula.isa.functions import FUNCTIONS
from alula.isa.instructions.declaration import (
    ROWS,
    Engine,
    Instruction,
    cycles,
    sync,
    vector_word,
)
from alula.isa.kv import STAGING_VALUES

MISC_COUNTS = {
    "rows": MOST_ROWS,
    **dict.fromkeys(("heads", "slot"), 255),
    **dict.fromkeys(("len", "count", "words"), 65535),
}
"""The most that MISC counts, by field, however large the buffers are."""

_FUNCTION = Choice("func", (*FUNCTIONS, *[""] * (16 - len(FUNCTIONS))), "function")
_VARIANCE = DataFault(Error.UNDEFINED, "the variance must be at least 0, not negative")


def _misc(work: str, *counts: str, slack: str = EXACT.text) -> Cycles:
    return cycles(f"MISC + {work}", *counts, idle="MISC_IDLE", slack=slack)


def _sfu(
    name: str,
    opcode: int,
    fields: tuple[Field, ...],
    doc: str,
    cycles: Cycles,
    *,
    reads: tuple[Range, ...],
    writes: tuple[Range, ...],
    limits: tuple[Limit, ...] = (),
    apart: tuple[Apart, ...] = (),
    faults: tuple[DataFault, ...] = (),
) -> Instruction:
    """An instruction of MISC, which counts no further than `MISC_COUNTS`."""
    closer = {one.label for one in limits if one.most}
    counted = (field.name for field in fields if field.name in MISC_COUNTS)
    most = (at_most(field, MISC_COUNTS[field]) for field in counted if field not in closer)
    effects = Effects(reads, writes, (*most, *limits), apart, faults)
    return Instruction(name, Engine.MISC, opcode, fields, doc, cycles, effects)


SFU = (
    _sfu(
        "RMSNORM",
        0x20,
        (
            vector_word("dst", "destination"),
            vector_word("src", "source"),
            vector_word("gain", "gain"),
            ROWS,
            Operand("len", 14, "elements of a row; rows follow each other at whole words"),
            RegisterField("inv", "1 / len, fp32"),
            RegisterField("eps", "epsilon, fp32"),
        ),
        "Root mean square normalisation.",
        _misc(
            "rows * (2 * ceil(len, L) + PASS + MULTIPLY + RESULT + SUM + NORM + TURN"
            " + 2 * MULTIPLY + RESULT + WRITE + ROW)",
            "rows",
            "len",
        ),
        reads=(words("src", "rows * ceil(len, L)"), words("gain", "ceil(len, L)")),
        writes=(words("dst", "ceil(len, L)", "rows", "ceil(len, L)"),),
        apart=(Apart("dst", "src"),),
        faults=(_VARIANCE,),
    ),
    _sfu(
        "LAYERNORM",
        0x21,
        (
            vector_word("dst", "destination"),
            vector_word("src", "source"),
            vector_word("gain", "gain, the bias in the words after it"),
            ROWS,
            Operand("len", 14, "elements of a row; rows follow each other at whole words"),
            RegisterField("inv", "1 / len, fp32"),
            RegisterField("eps", "epsilon, fp32"),
        ),
        "Layer normalisation.",
        _misc(
            "rows * (4 * ceil(len, L) + PASS + ADD + RESULT + SUM + MULTIPLY + TURN"
            " + ADD + MULTIPLY + RESULT + SUM + NORM + TURN"
            " + ADD + 2 * MULTIPLY + RESULT + WRITE"
            " + PASS + OPERAND + ADD + RESULT + WRITE + ROW - 1)",
            "rows",
            "len",
            slack="rows",
        ),
        reads=(words("src", "rows * ceil(len, L)"), words("gain", "2 * ceil(len, L)")),
        writes=(words("dst", "ceil(len, L)", "rows", "ceil(len, L)"),),
        apart=(Apart("dst", "src"),),
        faults=(_VARIANCE,),
    ),
    _sfu(
        "SOFTMAX",
        0x22,
        (
            vector_word("src", "scores of row 0, replaced by probabilities"),
            ROWS,
            Operand("len", 16, "valid entries of row 0"),
            Flag("step", "1: each row has one valid entry more than the row before"),
            Operand("stride", 14, "words from one row to the next"),
            vector_word("scale", "factors of the entries (V's scales)"),
        ),
        "Softmax of each row in three passes, times a vector, zero up to a common multiple of 32.",
        _misc(
            "rows * (2 * ceil(len, L) + ceil(len + step * (rows - 1), 32) * (32 // L)"
            " + PASS + max(MAX + TURN, PASS + 1) + ADD + MULTIPLY + FUNCTION + RESULT + WRITE"
            " + SUM + ROOT + TURN"
            " + 2 * MULTIPLY + RESULT + WRITE + ROW - 1)",
            "rows",
            "len",
            slack="rows + 2 * rows * ceil(step * (rows - 1), L)",
        ),
        reads=(
            words("src", "ceil(len + step * (rows - 1), L)", "rows", "stride"),
            words("scale", "ceil(len + step * (rows - 1), L)"),
        ),
        writes=(words("src", "ceil(len + step * (rows - 1), 32) * (32 // L)", "rows", "stride"),),
        limits=(at_least("len", 1, when="rows"),),
    ),
    _sfu(
        "ROPE",
        0x23,
        (
            vector_word("src", "heads of token 0, replaced"),
            vector_word(
                "table", "cosines then sines of each token, dim elements apart as they are loaded"
            ),
            ROWS,
            Operand("heads", 8, "heads of a token"),
            Immediate("dim", 10, "elements of a head"),
            Operand("stride", 14, "words from one token to the next"),
        ),
        "Rotary position embedding, half-split form.",
        _misc(
            "rows * heads * ceil(dim, L) + PASS + ROTATE + MULTIPLY + ADD + RESULT + WRITE + ROW",
            "rows",
            "heads",
            slack="OPERAND + 3 + rows * heads",
        ),
        reads=(
            words("src", "ceil(heads * dim, L)", "rows", "stride"),
            words("table", "ceil(rows * dim, L)"),
        ),
        writes=(words("src", "ceil(heads * dim, L)", "rows", "stride"),),
        limits=(multiple("dim", "2 * L", when="rows * heads"),),
    ),
    _sfu(
        "ACT",
        0x24,
        (
            _FUNCTION,
            Flag("gated", "1: times b"),
            vector_word("dst", "destination"),
            vector_word("a", "argument"),
            vector_word("b", "factor"),
            Operand("count", 16, "words"),
        ),
        "Activation function, optionally gated.",
        _misc(
            "count + PASS + TABLE * FUNCTION + MULTIPLY + gated * MULTIPLY + RESULT + WRITE + ROW",
            "count",
            slack="gated * OPERAND",
        ),
        reads=(words("a", "count"), words("b", "gated * count")),
        writes=(words("dst", "count"),),
        apart=(Apart("dst", "a"), Apart("dst", "b", Formula("gated"))),
    ),
    _sfu(
        "ADD",
        0x25,
        (
            vector_word("dst", "destination"),
            vector_word("a", "first summand"),
            vector_word("b", "second summand"),
            ROWS,
            Operand("words", 12, "words of a row; rows follow each other"),
            Flag("broadcast", "1: one row of b serves all rows (a bias)"),
        ),
        "Elementwise sum.",
        _misc(
            "rows * words + PASS + ADD + RESULT + WRITE + ROW",
            "rows",
            "words",
            slack="OPERAND * (1 + broadcast * (rows - 1))",
        ),
        reads=(words("a", "rows * words"), words("b", "where(broadcast, 1, rows) * words")),
        writes=(words("dst", "words", "rows", "words"),),
        apart=(Apart("dst", "a"), Apart("dst", "b", Formula("1 - broadcast"))),
    ),
    _sfu(
        "QUANT",
        0x26,
        (
            vector_word("src", "row 0"),
            Operand("dst", 13, "activation buffer group"),
            Operand("slot", 8, "row of the destination matrix that row 0 becomes"),
            ROWS,
            Operand("len", 16, "elements of a row, rounded up to 32 by the last word's zeros"),
            Operand("stride", 14, "words from one row to the next"),
        ),
        "Quantise rows to A8 in the activation buffer.",
        _misc(
            "rows * (2 * ceil(len, 32) * (32 // L) + PASS + max(MAX + MULTIPLY + TURN, PASS + 2)"
            " + ADD + MULTIPLY + RESULT + PACK + ROW)",
            "rows",
            "len",
        ),
        reads=(words("src", "ceil(len, L)", "rows", "stride"),),
        writes=(groups("dst", "ceil(len, 32)", "rows", "slot"),),
        limits=(at_most("len", GROUP * MOST_ROW_GROUPS),),
    ),
    _sfu(
        "QUANTKV",
        0x27,
        (
            vector_word("src", "heads of token 0"),
            Operand("dst", 10, "staging row"),
            ROWS,
            Operand("heads", 7, "KV heads of a token"),
            Immediate("dim", 10, "elements of a head"),
            Operand("stride", 14, "words from one token to the next"),
        ),
        "Quantise K or V rows to int8 with one scale a row, in staging.",
        _misc(
            "rows * heads * (ceil(dim, L) + ceil(dim, 32) * (32 // L) + PASS + MAX + KV + TURN"
            " + MULTIPLY + RESULT + PACK + ROW)",
            "rows",
            "heads",
            "dim",
        ),
        reads=(words("src", "ceil(heads * dim, L)", "rows", "stride"),),
        writes=(staging("dst", "ceil(dim, 32)", "rows * heads"),),
        limits=(
            multiple("dim", "L", when="rows * heads * dim", divides=True),
            at_most(
                "32 * ceil(dim, 32)",
                STAGING_VALUES,
                when="rows * heads",
                name="values of a row",
            ),
        ),
    ),
    _sfu(
        "ARGMAX",
        0x28,
        (
            vector_word("src", "values"),
            Operand("count", 16, "values"),
            Operand("base", 20, "index of the first"),
            Flag("first", "1: forget earlier calls"),
        ),
        "Running argmax; SYS's ARG reads it.",
        _misc(
            "ceil(count, L) + PASS + MAX + ROW",
            "count",
        ),
        reads=(words("src", "ceil(count, L)"), best()),
        writes=(best(),),
    ),
    _sfu(
        "SOFTCAP",
        0x29,
        (
            vector_word("src", "values of row 0, replaced"),
            ROWS,
            Operand("words", 12, "words of a row"),
            Operand("stride", 14, "words from one row to the next"),
            RegisterField("inv", "2 / cap, fp32"),
            RegisterField("span", "2 cap, fp32"),
        ),
        "Soft cap: cap * tanh(x / cap), as span * (sigmoid(inv * x) - 1/2).",
        _misc(
            "rows * words + PASS + MULTIPLY + FUNCTION + ADD + MULTIPLY + RESULT + WRITE + ROW",
            "rows",
            "words",
        ),
        reads=(words("src", "words", "rows", "stride"),),
        writes=(words("src", "words", "rows", "stride"),),
    ),
    sync(Engine.MISC, 0x2F, "MISC_IDLE"),
)
