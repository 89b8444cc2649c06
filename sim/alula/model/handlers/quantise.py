"""QUANT and QUANTKV: fp32 vectors to the integers of products and KV cache."""

from __future__ import annotations

from alula.design.engines import MOST_ROW_GROUPS
from alula.model.errors import OutOfRange, Unimplemented
from alula.model.handlers.registry import executes
from alula.model.kernels.quantise import quantise, quantise_kv
from alula.model.state import State
from alula.model.tables import RECIP


@executes("QUANT")
def _(state: State, src: int, dst: int, slot: int, rows: int, length: int, stride: int) -> None:
    groups = -(-length // 32)
    if groups > MOST_ROW_GROUPS:
        raise OutOfRange(f"QUANT len must be at most {32 * MOST_ROW_GROUPS}, not {length}")
    if not rows or not length:
        return
    state.check_vector("QUANT src", src, (rows - 1) * stride + state.words(length))
    state.check_groups("QUANT dst", dst, (-(-(slot + rows) // state.tokens)) * groups)
    lanes = state.lanes
    quantise(state.vector, src * lanes, rows, length, stride * lanes, *state.activations, dst, slot)


@executes("QUANTKV")
def _(state: State, src: int, dst: int, rows: int, heads: int, dim: int, stride: int) -> None:
    if not rows or not heads or not dim:
        return
    lanes = state.lanes
    if dim % lanes and lanes % dim:
        raise Unimplemented(f"QUANTKV dim must be a multiple of {lanes} or divide it, not {dim}")
    state.check_vector("QUANTKV src", src, (rows - 1) * stride + state.words(heads * dim))
    state.check_staging("QUANTKV dst", dst, rows * heads, -(-dim // 32))
    quantise_kv(
        state.vector, src * lanes, rows, heads, dim, stride * lanes, state.staging,
        state.staging_scale, dst, *RECIP,
    )  # fmt: skip
