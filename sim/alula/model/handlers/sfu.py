"""MISC but for quantisation: fp32 vectors on the SFU's lanes."""

from functools import partial

from alula.isa.functions import FUNCTIONS, SOFTCAP
from alula.model.errors import UndefinedBehaviour
from alula.model.floats import from_register
from alula.model.handlers.registry import executes
from alula.model.kernels import sfu
from alula.model.state import State
from alula.model.tables import DISTRIBUTIONS, EXP2, RECIP, RSQRT


def _normalise(
    name: str, state: State, dst: int, src: int, gain: int, rows: int, length: int, inv: int,
    eps: int,
) -> None:  # fmt: skip
    words, lanes = state.words(length), state.lanes
    negative = _NORMS[name](
        state.vector, dst * lanes, src * lanes, gain * lanes, rows, length, words * lanes,
        from_register(inv), from_register(eps), RSQRT,
    )  # fmt: skip
    if negative:
        raise UndefinedBehaviour(f"{name} variance must be at least 0, not negative")


_NORMS = {"RMSNORM": sfu.rms_norm, "LAYERNORM": sfu.layer_norm}
for _name in _NORMS:
    executes(_name)(partial(_normalise, _name))


@executes("SOFTMAX")
def _(state: State, src: int, rows: int, length: int, step: bool, stride: int, scale: int) -> None:
    last = length + (rows - 1) * step
    width = -(-last // 32) * 32
    lanes = state.lanes
    sfu.softmax(
        state.vector, src * lanes, rows, length, int(step), stride * lanes, width, scale * lanes,
        EXP2, RECIP,
    )  # fmt: skip


@executes("ROPE")
def _(state: State, src: int, table: int, rows: int, heads: int, dim: int, stride: int) -> None:
    lanes = state.lanes
    sfu.rope(state.vector, src * lanes, table * lanes, rows, heads, dim, stride * lanes)


@executes("ACT")
def _(state: State, func: str, gated: bool, dst: int, a: int, b: int, count: int) -> None:
    lanes = state.lanes
    table = FUNCTIONS[func].table
    place = (state.vector, gated, dst * lanes, a * lanes, b * lanes, count * lanes)
    if table is None:
        sfu.rectify(*place)
    else:
        sfu.activate(*place, DISTRIBUTIONS[table])


@executes("SOFTCAP")
def _(state: State, src: int, rows: int, words: int, stride: int, inv: int, span: int) -> None:
    lanes = state.lanes
    sfu.soft_cap(
        state.vector, src * lanes, rows, words * lanes, stride * lanes,
        from_register(inv), from_register(span), DISTRIBUTIONS[SOFTCAP.table],
    )  # fmt: skip


@executes("ADD")
def _(state: State, dst: int, a: int, b: int, rows: int, words: int, broadcast: bool) -> None:
    lanes = state.lanes
    sfu.add_rows(
        state.vector, dst * lanes, a * lanes, b * lanes, rows, words * lanes,
        0 if broadcast else words * lanes,
    )  # fmt: skip


@executes("ARGMAX")
def _(state: State, src: int, count: int, base: int, first: bool) -> None:
    if first:
        state.best_index = -1
    state.best, state.best_index = sfu.first_largest(
        state.vector, src * state.lanes, count, state.best, state.best_index, base
    )
