"""LD: memory to the weight stream and the vector buffer."""

from alula.isa import Engine
from alula.model.handlers.formats import weight_format
from alula.model.handlers.registry import executes
from alula.model.kernels.vectors import load_bf16, load_fp32
from alula.model.state import State

_ENGINES = {"MV": int(Engine.MV), "MM": int(Engine.MM)}


@executes("LD.W")
def _(
    state: State, to: str, fmt: str, nm: str, addr: int, blocks: int, groups: int, stride: int
) -> None:
    item = weight_format(state, "LD.W", fmt, nm)
    matrix = state.memory.matrix(item, addr, blocks, groups, stride)
    state.stream.push(_ENGINES[to], matrix)
    state.bytes_read += matrix.beats * state.memory.width


def _load_row(state: State, element: str, byte: int, word: int, count: int) -> None:
    padded = state.words(count) * state.lanes
    if element == "fp32":
        load_fp32(
            state.memory.words, byte // 4, state.vector_bits, word * state.lanes, count, padded
        )
    else:
        load_bf16(
            state.memory.halves, byte // 2, state.vector_bits, word * state.lanes, count, padded
        )


def _beats(state: State, element: str, count: int) -> int:
    return -(-count * (4 if element == "fp32" else 2) // state.memory.width)


@executes("LD.V")
def _(state: State, element: str, addr: int, dst: int, count: int) -> None:
    beats = _beats(state, element, count)
    _load_row(state, element, addr * state.memory.width, dst, count)
    state.bytes_read += beats * state.memory.width


@executes("LD.G")
def _(state: State, element: str, table: int, ids: int, count: int, length: int, dst: int) -> None:
    memory = state.memory
    beats, words = _beats(state, element, length), state.words(length)
    listed = -(-4 * count // memory.width)
    first = ids * memory.width // 4
    for place in range(count):
        beat = table + int(memory.words[first + place]) * beats
        memory.check("LD.G row", beat, beats)
        _load_row(state, element, beat * memory.width, dst + place * words, length)
    state.bytes_read += (listed + count * beats) * memory.width
