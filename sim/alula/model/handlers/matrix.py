"""MM and MV: products of streamed weights and the activation buffer."""

from __future__ import annotations

import numpy as np

from alula.isa import WeightFormat
from alula.isa.formats import BeatKind
from alula.model.errors import OutOfRange, UndefinedBehaviour
from alula.model.handlers.formats import weight_format
from alula.model.handlers.registry import executes
from alula.model.kernels.product import (
    gather,
    gather_scaled,
    product_8,
    product_8_parallel,
    product_w4,
)
from alula.model.kernels.weights import TILE
from alula.model.state import State

SERIAL_MACS = 1_000_000
"""8-bit products smaller than this are done before other threads have woken up."""


def _multiply(
    state: State, name: str, fmt: WeightFormat, src: int, groups: int, outputs: int, rows: int,
    dst: int, stride: int,
) -> None:  # fmt: skip
    blocks = -(-outputs // (state.rows * fmt.pattern.parts))
    streamed = state.stream.take()
    if streamed.shape != (fmt, blocks, groups):
        found = _described(*streamed.shape)
        raise UndefinedBehaviour(
            f"{name} must take {found} as streamed, not {_described(fmt, blocks, groups)}"
        )
    if not rows:
        raise UndefinedBehaviour(f"{name} rows must be at least 1, not 0")
    lanes, vector, tokens = state.lanes, state.vector, state.tokens
    words = state.words(outputs)
    if stride < words and rows > 1:
        raise UndefinedBehaviour(f"{name} stride must be at least {words}, not {stride}")
    state.check_groups(f"{name} src", src, -(-rows // tokens) * groups)
    state.check_vector(f"{name} dst", dst, (rows - 1) * stride + words)
    macs = blocks * state.rows * groups * 32 * rows
    x, scales, sums, power, flat = state.scratch(rows, groups)
    overflow = np.empty(-(-outputs // TILE), np.uint8)
    place = (power, state.accumulator_limit, outputs, vector, dst * lanes, stride * lanes, overflow)
    if fmt.metas:
        gather(*state.activations, src, tokens, groups, rows, x, scales, sums, power)
        overflowed = product_w4(*streamed.arrays, x, scales, sums, *place)
    else:
        gather_scaled(*state.activations, src, tokens, groups, rows, flat, power)
        run = product_8 if macs < SERIAL_MACS else product_8_parallel
        overflowed = run(*streamed.arrays, flat, *place)
    if overflowed:
        bits = state.accumulator_limit.bit_length()
        raise UndefinedBehaviour(f"{name} accumulators must fit {bits} bits signed, not overflow")
    if outputs % lanes:
        for row in range(rows):
            end = (dst + row * stride) * lanes
            vector[end + outputs : end + words * lanes] = 0
    state.macs += macs


def _described(fmt: WeightFormat, blocks: int, groups: int) -> str:
    """What of a matrix a product must know."""
    return f"{fmt.title} blocks={blocks} groups={groups}"


@executes("MV")
def _(
    state: State, fmt: str, nm: str, src: int, groups: int, outputs: int, rows: int, dst: int,
    stride: int,
) -> None:  # fmt: skip
    item = weight_format(state, "MV", fmt, nm)
    if rows > state.tokens:
        raise UndefinedBehaviour(f"MV rows must be at most {state.tokens}, not {rows}")
    _multiply(state, "MV", item, src, groups, outputs, rows, dst, stride)


@executes("MM")
def _(
    state: State, fmt: str, nm: str, src: int, groups: int, outputs: int, rows: int, dst: int,
    stride: int,
) -> None:  # fmt: skip
    item = weight_format(state, "MM", fmt, nm)
    if rows > state.tokens:
        held, limit = item.beats(1, groups), state.stream.capacity
        if held > limit:
            raise OutOfRange(f"MM row block must fit the stream's {limit} beats, not take {held}")
        held = item.count(BeatKind.INDEX, 1, groups)
        if held > limit // 2:
            raise OutOfRange(
                f"MM indices of a row block must fit half of the stream's {limit} beats, "
                f"not take {held}"
            )
    _multiply(state, "MM", item, src, groups, outputs, rows, dst, stride)
