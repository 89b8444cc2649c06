"""MISC but for quantisation: fp32 vectors on the SFU's lanes."""

from __future__ import annotations

from alula.isa.functions import FUNCTIONS
from alula.model.errors import UndefinedBehaviour, Unimplemented
from alula.model.floats import from_register
from alula.model.handlers.registry import executes
from alula.model.kernels import sfu
from alula.model.state import State
from alula.model.tables import DISTRIBUTIONS, EXP2, RECIP, RSQRT


def _separate(name: str, dst: int, sources: tuple[tuple[str, int], ...], words: int) -> None:
    """A destination that overlaps a source must be that source."""
    for field, src in sources:
        if dst != src and abs(dst - src) < words:
            raise UndefinedBehaviour(
                f"{name} dst must be {field} or {words} words away, not {abs(dst - src)}"
            )


def _normalise(
    state: State, name: str, gains: int, dst: int, src: int, gain: int, rows: int, length: int,
    inv: int, eps: int,
) -> None:  # fmt: skip
    words = state.words(length)
    state.check_vector(f"{name} dst", dst, rows * words)
    state.check_vector(f"{name} src", src, rows * words)
    state.check_vector(f"{name} gain", gain, gains * words)
    _separate(name, dst, (("src", src),), rows * words)
    run = sfu.rms_norm if gains == 1 else sfu.layer_norm
    lanes = state.lanes
    negative = run(
        state.vector, dst * lanes, src * lanes, gain * lanes, rows, length, words * lanes,
        from_register(inv), from_register(eps), *RSQRT,
    )  # fmt: skip
    if negative:
        raise UndefinedBehaviour(f"{name} variance must be at least 0, not negative")


@executes("RMSNORM")
def _(
    state: State, dst: int, src: int, gain: int, rows: int, length: int, inv: int, eps: int
) -> None:
    _normalise(state, "RMSNORM", 1, dst, src, gain, rows, length, inv, eps)


@executes("LAYERNORM")
def _(
    state: State, dst: int, src: int, gain: int, rows: int, length: int, inv: int, eps: int
) -> None:
    _normalise(state, "LAYERNORM", 2, dst, src, gain, rows, length, inv, eps)


@executes("SOFTMAX")
def _(state: State, src: int, rows: int, length: int, step: str, stride: int, scale: int) -> None:
    if not rows:
        return
    if not length:
        raise UndefinedBehaviour("SOFTMAX len must be at least 1, not 0")
    last = length + (rows - 1) * int(step)
    width = -(-last // 32) * 32
    state.check_vector("SOFTMAX src", src, (rows - 1) * stride + state.words(width))
    state.check_vector("SOFTMAX scale", scale, state.words(last))
    lanes = state.lanes
    sfu.softmax(
        state.vector, src * lanes, rows, length, int(step), stride * lanes, width, scale * lanes,
        *EXP2, *RECIP,
    )  # fmt: skip


@executes("ROPE")
def _(state: State, src: int, table: int, rows: int, heads: int, dim: int, stride: int) -> None:
    if not rows or not heads:
        return
    lanes = state.lanes
    if not dim or dim % (2 * lanes):
        raise Unimplemented(f"ROPE dim must be a multiple of {2 * lanes}, not {dim}")
    state.check_vector("ROPE src", src, (rows - 1) * stride + state.words(heads * dim))
    state.check_vector("ROPE table", table, state.words(rows * dim))
    sfu.rope(state.vector, src * lanes, table * lanes, rows, heads, dim, stride * lanes)


@executes("ACT")
def _(state: State, func: str, gated: str, dst: int, a: int, b: int, count: int) -> None:
    sources = (("a", a), ("b", b)) if gated == "1" else (("a", a),)
    state.check_vector("ACT dst", dst, count)
    for field, src in sources:
        state.check_vector(f"ACT {field}", src, count)
    _separate("ACT", dst, sources, count)
    lanes = state.lanes
    table = FUNCTIONS[func].table
    place = (state.vector, gated == "1", dst * lanes, a * lanes, b * lanes, count * lanes)
    if table is None:
        sfu.rectify(*place)
    else:
        sfu.activate(*place, *DISTRIBUTIONS[table])


@executes("ADD")
def _(state: State, dst: int, a: int, b: int, rows: int, words: int, broadcast: str) -> None:
    once = broadcast == "1"
    state.check_vector("ADD dst", dst, rows * words)
    state.check_vector("ADD a", a, rows * words)
    state.check_vector("ADD b", b, words if once else rows * words)
    _separate("ADD", dst, (("a", a),) if once else (("a", a), ("b", b)), rows * words)
    lanes = state.lanes
    sfu.add_rows(
        state.vector, dst * lanes, a * lanes, b * lanes, rows, words * lanes,
        0 if once else words * lanes,
    )  # fmt: skip


@executes("ARGMAX")
def _(state: State, src: int, count: int, base: int, first: str) -> None:
    state.check_vector("ARGMAX src", src, state.words(count))
    if first == "1":
        state.best_index = -1
    state.best, state.best_index = sfu.first_largest(
        state.vector, src * state.lanes, count, state.best, state.best_index, base
    )
