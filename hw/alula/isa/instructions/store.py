"""ST: vector buffer and staging to memory."""

from alula.isa.effects import Effects, at_most, memory, staging, words
from alula.isa.fields import Operand
from alula.isa.instructions.declaration import (
    ADDRESS,
    Engine,
    Instruction,
    cycles,
    sync,
    vector_word,
)
from alula.isa.kv import KV_GROUPS, STAGING_VALUES

_STAGED = staging("src", "groups", "rows * heads")
_LONGEST = at_most("32 * groups", STAGING_VALUES, when="rows * heads", name="values of a row")
_ROWS = (
    Operand("src", 10, "staging row of token 0, head 0"),
    ADDRESS,
    Operand("heads", 7, "KV heads; staging holds heads of a token together"),
    Operand("rows", 8, "tokens"),
    Operand("groups", KV_GROUPS.bit_length(), "groups of 32 in a head"),
)

STORE = (
    Instruction(
        "ST.V",
        Engine.ST,
        0x08,
        (
            vector_word("src", "source"),
            ADDRESS,
            Operand("count", 20, "elements, written as fp32"),
        ),
        "Store a vector. Signals when memory has acknowledged the last beat.",
        cycles("STORE + ACK + max(ceil(4 * count, B), ceil(count, L))", "count", idle="STORE_IDLE"),
        Effects(reads=(words("src", "ceil(count, L)"),), writes=(memory("addr", "4 * count"),)),
    ),
    Instruction(
        "ST.W",
        Engine.ST,
        0x09,
        (
            Operand("value", 32, "32-bit word"),
            ADDRESS,
            Operand("skip", 8, "words into the beat"),
        ),
        "Store one 32-bit word.",
        cycles("STORE + RUN + ACK"),
        Effects(
            writes=(memory("addr", "4", skip="4 * skip"),), limits=(at_most("skip", "B // 4 - 1"),)
        ),
    ),
    Instruction(
        "ST.KEY",
        Engine.ST,
        0x0A,
        (
            *_ROWS,
            Operand("stride", 0, "beats from one head's K to the next"),
            Operand("position", 0, "position of token 0"),
        ),
        "Append K rows to the W8 matrices of a layer: values and scale of one row each.",
        cycles(
            "ACK + rows * heads * (2 * groups + 1)",
            *("rows", "heads", "groups"),
            idle="STORE_IDLE",
            slack=None,
        ),
        Effects(
            reads=(_STAGED,),
            writes=(
                memory(
                    "addr",
                    "B * W8((position + rows - 1) // R + 1, groups)",
                    "heads",
                    "stride",
                    part=True,
                ),
            ),
            limits=(_LONGEST,),
        ),
    ),
    Instruction(
        "ST.VALUE",
        Engine.ST,
        0x0B,
        (
            *_ROWS,
            Operand("stride", 0, "beats from one head's V to the next"),
            Operand("position", 0, "position of token 0"),
            Operand("pitch", 0, "beats from one row block of V to the next"),
            Operand("scales", 0, "beats from a head's V to its bf16 scales"),
        ),
        "Append V columns to the V8 matrices of a layer, transposed, and their scales.",
        cycles(
            "ACK + rows * heads * (ceil(32 * groups, R) + 1)",
            *("rows", "heads", "groups"),
            idle="STORE_IDLE",
            slack=None,
        ),
        Effects(
            reads=(_STAGED,),
            writes=(
                memory(
                    "addr",
                    "B * ((32 * groups - 1) // R * pitch + (position + rows - 1) // 16 * 2 + 2)",
                    "heads",
                    "stride",
                    part=True,
                ),
                memory("addr + scales", "2 * rows", "heads", "stride", "2 * position"),
            ),
            limits=(_LONGEST,),
        ),
    ),
    sync(Engine.ST, 0x0F, "STORE_IDLE"),
)
