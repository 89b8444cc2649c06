"""ST: vector buffer and staging to memory."""

from alula.isa.kv import kv_places
from alula.model.handlers.registry import executes
from alula.model.kernels.weights import store_rows
from alula.model.state import State


@executes("ST.V")
def _(state: State, src: int, addr: int, count: int) -> None:
    memory = state.memory
    beats = -(-4 * count // memory.width)
    memory.touch(addr, beats)
    start, source = addr * memory.width // 4, src * state.lanes
    memory.words[start : start + count] = state.vector_bits[source : source + count]
    state.bytes_written += 4 * count


@executes("ST.W")
def _(state: State, value: int, addr: int, skip: int) -> None:
    memory = state.memory
    memory.touch(addr, 1)
    memory.words[addr * memory.width // 4 + skip] = value
    state.bytes_written += 4


@executes("ST.KEY")
@executes("ST.VALUE")
def _(
    state: State, src: int, addr: int, heads: int, rows: int, groups: int, stride: int,
    position: int, pitch: int | None = None, scales: int = 0,
) -> None:  # fmt: skip
    memory = state.memory
    places = kv_places(
        memory.width, memory.lane, addr=addr, stride=stride, heads=heads, rows=rows, groups=groups,
        position=position, pitch=pitch, scales=scales,
    )  # fmt: skip
    place = (places, src, state.staging, state.staging_scale)
    if store_rows(memory.bytes, memory.marks, memory.width, *place):
        memory.forget_stored()
    state.bytes_written += places.size
