"""LD: memory to the weight stream and the vector buffer."""

from alula.isa.effects import DataFault, Effects, Error, at_least, at_most, memory, stream, words
from alula.isa.fields import Choice, Operand
from alula.isa.instructions.declaration import (
    ADDRESS,
    FORMAT,
    SPARSITY,
    TYPE,
    WEIGHT_FAULTS,
    Engine,
    Instruction,
    cycles,
    sync,
    vector_word,
)

LOAD = (
    Instruction(
        "LD.W",
        Engine.LD,
        0x01,
        (
            Choice("to", ("MV", "MM"), "engine that takes these beats"),
            FORMAT,
            SPARSITY,
            ADDRESS,
            Operand("blocks", 13, "row blocks"),
            Operand("groups", 9, "groups of 32 inputs in a row"),
            Operand("stride", 0, "beats from one row block to the next, 0 if packed (V8 only)"),
        ),
        "Push the beats of a weight matrix into the weight stream. Signals when the last has "
        "entered.",
        cycles("LOAD + READ", slack=None),
        Effects(
            reads=(
                memory(
                    "addr",
                    "B * beats(where(stride, 1, blocks), groups)",
                    "where(stride, blocks, 1)",
                    "stride",
                ),
            ),
            writes=(stream("blocks"),),
            limits=(
                at_least("blocks", 1),
                at_least("groups", 1),
                at_most("stride", 0, Error.UNDEFINED, "SCALES", note="with row scales"),
                at_least("stride", "beats(1, groups)", when="stride * (blocks - 1)"),
            ),
            faults=(
                *WEIGHT_FAULTS,
                DataFault(Error.UNDEFINED, "inputs of a pattern must be stored once, not twice"),
            ),
        ),
    ),
    Instruction(
        "LD.V",
        Engine.LD,
        0x02,
        (
            TYPE,
            ADDRESS,
            vector_word("dst", "destination"),
            Operand("count", 20, "elements"),
        ),
        "Load a vector; the rest of its last word is zeroed.",
        cycles(
            "LOAD + READ + max(ceil(count * BYTES, B), ceil(count, L))", "count", idle="LOAD_IDLE"
        ),
        Effects(
            reads=(memory("addr", "count * BYTES"),),
            writes=(words("dst", "ceil(count, L)"),),
        ),
    ),
    Instruction(
        "LD.G",
        Engine.LD,
        0x03,
        (
            TYPE,
            Operand("table", 22, "first row of the table, beats"),
            Operand("ids", 24, "row numbers, u32 from the start of a beat"),
            Operand("count", 8, "rows to gather"),
            Operand("len", 14, "elements of a row; table rows start at beats"),
            vector_word("dst", "destination; rows follow each other at whole words"),
        ),
        "Gather rows of a table (embeddings) by number.",
        cycles(
            "LOAD + 2 * READ + count * max(ceil(len * BYTES, B), ceil(len, L))",
            "count",
            "len",
            idle="LOAD_IDLE",
            slack=None,
        ),
        Effects(
            reads=(memory("ids", "4 * count"), memory("table", "len * BYTES", gathered=True)),
            writes=(words("dst", "ceil(len, L)", "count", "ceil(len, L)"),),
            faults=(DataFault(Error.OUT_OF_RANGE, "each row that is named must be within memory"),),
        ),
    ),
    sync(Engine.LD, 0x07, "LOAD_IDLE"),
)
