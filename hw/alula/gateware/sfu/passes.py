"""The passes of every SFU instruction, as a table: what each reads, computes and writes.

A name means a number: a field of the instruction, or one of `SfuPlan.quantities`.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from amaranth.lib import enum

from alula.gateware.arithmetic.float_activation import EXP, NUMBERS
from alula.gateware.sfu.lane import Entry
from alula.gateware.sfu.scalar import Scalar
from alula.isa.functions import FUNCTIONS, SOFTCAP, Function

Number = str | int


class Sink(enum.Enum, shape=3):
    """Where the words of a pass go. MAX and STEPS take them as they are read."""

    WRITE = 0
    SUM = 1
    WRITE_SUM = 2
    MAX = 3
    STEPS = 4
    ACTIVATION = 5
    STAGING = 6


class After(enum.Enum, shape=2):
    """What becomes of a pass's sum or maximum."""

    NOTHING = 0
    SCALAR = 1
    TOP = 2
    BEST = 3


class Dim(enum.Enum):
    """What `dim` must be: anything; some pairs of words; some words, or a part of one."""

    ANY = 0
    PAIRS = 1
    WORDS = 2


@dataclass(frozen=True)
class LoopNest:
    """A path through the vector buffer: count and stride in words of each loop, innermost first."""

    base: str
    loops: tuple[tuple[Number, Number], ...]


@dataclass(frozen=True)
class Pass:
    """A pass over a row.

    Attributes:
        a: Words that are read.
        b: Words of the second operand.
        write: Where results go, with Sink.WRITE and Sink.WRITE_SUM.
        route: Fields of `alula.gateware.sfu.lane.route`; None: `ACTIVATIONS` has them.
        sink: Where results go.
        after: What becomes of the sum or the maximum.
        scalar: What is computed of it.
        s, t: What the lanes' `s` and `t` become before, fp32; empty: they stay.
        limited: Whether only the first `limit` elements count.
        limit: How many.
        absolute: Whether a maximum ignores signs.
        a_counted, b_counted: Words that hold elements that count, where not all of them do.
        b_if: The field that says whether there is a `b`.
    """

    a: LoopNest
    b: LoopNest | None = None
    write: LoopNest | None = None
    route: Mapping[str, int | Entry] | None = None
    sink: Sink = Sink.WRITE
    after: After = After.NOTHING
    scalar: Scalar = Scalar.MEAN
    s: str = ""
    t: str = ""
    limited: bool = True
    limit: str = "elements"
    absolute: bool = False
    a_counted: str = ""
    b_counted: str = ""
    b_if: str = ""


@dataclass(frozen=True)
class Routine:
    """What an instruction is made of.

    Attributes:
        passes: The passes of a row.
        rows: Whether each of `rows` rows has its passes; if not, the paths lead through all rows.
        heads: Whether each head of a row has its passes.
        src, dst, elements: What is added to them from row to row; to `dst`, from head to head.
        dim: What `dim` must be.
    """

    passes: tuple[Pass, ...]
    rows: bool = False
    heads: bool = False
    src: Number = 0
    dst: Number = 0
    elements: Number = 0
    dim: Dim = Dim.ANY


def _row(base: str, count: str) -> LoopNest:
    return LoopNest(base, ((count, 1),))


def _rows(base: str, words: Number) -> LoopNest:
    return LoopNest(base, (("words", 1), ("rows", words)))


def _strided(base: str) -> LoopNest:
    return LoopNest(base, (("words", 1), ("rows", "stride")))


def _halves(base: str, head: Number, row: Number) -> LoopNest:
    return LoopNest(base, ((2, "half"), ("half", 1), ("heads", head), ("rows", row)))


def _activation(function: Function) -> Mapping[str, int | Entry]:
    """How the lanes compute one of ACT's functions."""
    if function.table is None:
        return _PRODUCT | {"relu": 1}
    return {"entry": Entry.FUNCTION, "function": NUMBERS[function.table.name]}


_SUM = {"entry": Entry.ADD, "operand": 1}
_DIFFERENCE = {"entry": Entry.ADD}
_SCALED_DIFFERENCE = {"entry": Entry.ADD, "multiply": 1}
_PRODUCT = {"entry": Entry.MULTIPLY}
_SQUARE, _GATE = {"square": 1}, {"gate": 1}
_READ_ONLY: Mapping[str, int | Entry] = {}

_SOURCE, _DESTINATION = _row("src", "row"), _row("dst", "row")
_SCORES, _PROBABILITIES = _row("src", "valid"), _row("src", "all")
_NORM = {"sink": Sink.SUM, "after": After.SCALAR, "scalar": Scalar.NORM}

ACTIVATIONS = tuple(_activation(function) for function in FUNCTIONS.values())
"""The lanes' route for each code of ACT's `func`."""

ROUTINES = {
    "RMSNORM": Routine(
        (
            Pass(_SOURCE, route=_PRODUCT | _SQUARE, **_NORM),
            Pass(_SOURCE, _row("gain", "row"), _DESTINATION, _PRODUCT | _GATE),
        ),
        rows=True,
        src="row",
        dst="row",
    ),
    "LAYERNORM": Routine(
        (
            Pass(_SOURCE, route=_DIFFERENCE, s="zero", **_NORM | {"scalar": Scalar.MEAN}),
            Pass(_SOURCE, route=_SCALED_DIFFERENCE | _SQUARE, **_NORM),
            Pass(_SOURCE, _row("gain", "row"), _DESTINATION, _SCALED_DIFFERENCE | _GATE),
            Pass(_DESTINATION, _row("bias", "row"), _DESTINATION, _SUM),
        ),
        rows=True,
        src="row",
        dst="row",
    ),
    "SOFTMAX": Routine(
        (
            Pass(_SCORES, route=_READ_ONLY, sink=Sink.MAX, after=After.TOP),
            Pass(
                _SCORES,
                write=_SCORES,
                route=_SCALED_DIFFERENCE | {"exp": 1, "function": EXP},
                sink=Sink.WRITE_SUM,
                after=After.SCALAR,
                scalar=Scalar.RECIP,
                t="log2e",
            ),
            Pass(
                _PROBABILITIES,
                _row("scale", "all"),
                _PROBABILITIES,
                _PRODUCT | _GATE,
                b_counted="last_valid",
            ),
        ),
        rows=True,
        src="stride",
        elements="step",
    ),
    "ROPE": Routine(
        (
            Pass(
                _halves("src", "whole", "stride"),
                _halves("table", 0, "whole"),
                _halves("src", "whole", "stride"),
                {"rotate": 1},
                limited=False,
            ),
        ),
        dim=Dim.PAIRS,
    ),
    "ACT": Routine(
        (
            Pass(
                _row("a", "count"),
                _row("b", "count"),
                _row("dst", "count"),
                t="one",
                limited=False,
                b_if="gated",
            ),
        ),
    ),
    "ADD": Routine(
        (
            Pass(
                _rows("a", "words"),
                _rows("b", "b_words"),
                _rows("dst", "words"),
                _SUM,
                limited=False,
            ),
        ),
    ),
    "QUANT": Routine(
        (
            Pass(
                _row("src", "group_words"),
                route=_READ_ONLY,
                a_counted="row",
                sink=Sink.STEPS,
                absolute=True,
                after=After.SCALAR,
                scalar=Scalar.STEP,
            ),
            Pass(
                _row("src", "group_words"),
                route=_SCALED_DIFFERENCE,
                a_counted="row",
                sink=Sink.ACTIVATION,
                s="zero",
            ),
        ),
        rows=True,
        src="stride",
    ),
    "QUANTKV": Routine(
        (
            Pass(
                _row("src", "dim_words"),
                route=_READ_ONLY,
                a_counted="head_words",
                limit="head_end",
                sink=Sink.MAX,
                absolute=True,
                after=After.SCALAR,
                scalar=Scalar.KV,
            ),
            Pass(
                _row("src", "group_words"),
                route=_PRODUCT,
                a_counted="head_words",
                limit="head_end",
                sink=Sink.STAGING,
            ),
        ),
        rows=True,
        heads=True,
        src="stride",
        dst=1,
        dim=Dim.WORDS,
    ),
    "SOFTCAP": Routine(
        (
            Pass(
                _strided("src"),
                write=_strided("src"),
                route=_PRODUCT | {"exp": 1, "centre": 1, "function": NUMBERS[SOFTCAP.table.name]},
                s="span",
                t="inv",
                limited=False,
            ),
        ),
    ),
    "ARGMAX": Routine((Pass(_SCORES, route=_READ_ONLY, sink=Sink.MAX, after=After.BEST),)),
}
"""By instruction. `MISC.SYNC` has no passes."""
