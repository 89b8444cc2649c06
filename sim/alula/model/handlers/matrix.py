"""MM and MV: products of streamed weights and the activation buffer."""

from functools import partial

import numpy as np

from alula.isa import WeightFormat
from alula.model.errors import UndefinedBehaviour
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
    name: str, state: State, fmt: str, nm: str, src: int, groups: int, outputs: int,
    rows: int, dst: int, stride: int,
) -> None:  # fmt: skip
    item = weight_format(state, name, fmt, nm)
    blocks = -(-outputs // (state.rows * item.pattern.segments))
    streamed = state.stream.take()
    if streamed.shape != (item, blocks, groups):
        found = _described(*streamed.shape)
        raise UndefinedBehaviour(
            f"{name} must take {found} as streamed, not {_described(item, blocks, groups)}"
        )
    lanes, vector, tokens = state.lanes, state.vector, state.tokens
    words = state.words(outputs)
    macs = blocks * state.rows * groups * 32 * rows
    x, scales, sums, power, flat = state.scratch(rows, groups)
    overflow = np.empty(-(-outputs // TILE), np.uint8)
    place = (state.accumulator_limit, outputs, vector, dst * lanes, stride * lanes, overflow)
    if item.metas:
        activations = (x, scales, sums, power)
        gather(state.activations, src, tokens, groups, activations)
        overflowed = product_w4(streamed.arrays, activations, *place)
    else:
        gather_scaled(state.activations, src, tokens, groups, flat, power)
        run = product_8 if macs < SERIAL_MACS else product_8_parallel
        overflowed = run(streamed.arrays, flat, power, *place)
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


for _name in ("MV", "MM"):
    executes(_name)(partial(_multiply, _name))
