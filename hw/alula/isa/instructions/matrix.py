"""MM, MV: products on the MPE."""

from alula.isa.effects import (
    DataFault,
    Effects,
    Error,
    Limit,
    at_least,
    at_most,
    groups,
    stream,
    words,
)
from alula.isa.fields import Operand
from alula.isa.instructions.declaration import (
    FORMAT,
    SPARSITY,
    WEIGHT_FAULTS,
    Engine,
    Instruction,
    cycles,
    sync,
)

_PRODUCT = (
    FORMAT,
    SPARSITY,
    Operand("src", 13, "activations, activation buffer group"),
    Operand("groups", 9, "groups of 32 inputs in a row"),
    Operand("outputs", 15, "results of a row; ceil(outputs / (P R)) row blocks are taken"),
    Operand("rows", 8, "activation rows"),
    Operand("dst", 16, "results of row 0, vector buffer word"),
    Operand("stride", 12, "words from one result row to the next"),
)

_PRODUCT_CYCLES = cycles(
    "PRODUCT + MPE + HALVES * groups + P * R * (rows - T * (ceil(rows, T) - 1)) // F - (HALVES - 2)"
    " + (ceil(outputs, P * R) * ceil(rows, T) - 1) * max(HALVES * groups, P * R * T // F)",
    slack="1 + ceil(outputs, P * R) * ceil(rows, T) // groups",
)


def _effects(*limits: Limit) -> Effects:
    return Effects(
        reads=(groups("src", "groups", "rows"), stream("ceil(outputs, P * R)")),
        writes=(words("dst", "ceil(outputs, L)", "rows", "stride"),),
        limits=(
            at_least("rows", 1),
            *limits,
            at_least("stride", "ceil(outputs, L)", when="rows > 1"),
        ),
        faults=(
            *WEIGHT_FAULTS,
            DataFault(
                Error.UNDEFINED, "the stream's head must have `fmt`, `nm`, row blocks, `groups`"
            ),
            DataFault(Error.UNDEFINED, "accumulators must fit their bits, not overflow"),
        ),
    )


_REPLAYED = (
    at_most("beats(1, groups)", "STREAM", when="rows > T", name="beats of a row block"),
    at_most(
        "index_beats(1, groups)", "STREAM // 2", when="rows > T", name="index beats of a row block"
    ),
)

MATRIX = (
    Instruction(
        "MM",
        Engine.MM,
        0x10,
        _PRODUCT,
        "Product of streamed weights and any number of activation rows; each row block is replayed "
        "once for every T rows.",
        _PRODUCT_CYCLES,
        _effects(*_REPLAYED),
    ),
    Instruction(
        "MV",
        Engine.MV,
        0x18,
        _PRODUCT,
        "Product of streamed weights and at most T activation rows; each beat is used as it comes.",
        _PRODUCT_CYCLES,
        _effects(at_most("rows", "T", Error.UNDEFINED)),
    ),
    sync(Engine.MM, 0x17, "MPE_IDLE"),
    sync(Engine.MV, 0x1F, "MPE_IDLE"),
)
