"""QUANT and QUANTKV: fp32 vectors to the integers of products and KV cache."""

from alula.model.handlers.registry import executes
from alula.model.kernels.quantise import quantise, quantise_kv
from alula.model.state import State
from alula.model.tables import RECIP


@executes("QUANT")
def _(state: State, src: int, dst: int, slot: int, rows: int, length: int, stride: int) -> None:
    lanes = state.lanes
    quantise(state.vector, src * lanes, rows, length, stride * lanes, *state.activations, dst, slot)


@executes("QUANTKV")
def _(state: State, src: int, dst: int, rows: int, heads: int, dim: int, stride: int) -> None:
    lanes = state.lanes
    quantise_kv(
        state.vector, src * lanes, rows, heads, dim, stride * lanes, state.staging,
        state.staging_scale, dst, RECIP,
    )  # fmt: skip
