"""A design with more of something is never slower, and never beats what none can be faster than.

Tokens of the matrix engine are such a thing only where the results of a row block leave in as few
cycles (the output stage has a turn for each of them, of however few rows a run is) and a prefill
goes in the same chunks, whose halves have as many rows as fill passes.
"""

from dataclasses import replace
from itertools import pairwise

from hypothesis import assume, given, settings
from hypothesis import strategies as st
from tests.shapes import FAMILIES, sized

from alula.cost import predict
from alula.design import Design, load_design
from alula.ir import Precision, build_graph
from alula.ir.padding import pad_heads
from alula.mapper import DoesNotFit, place

ROOM = {f"part.{name}": 100_000 for name in ("dsp", "bram36", "uram", "lut", "ff")}
BASE = load_design("nano-sparse").replace(
    {**ROOM, "memory.capacity_mib": 64, "prefill_chunk": 8, "mpe.tokens": 4}
)
SHAPE = replace(sized(FAMILIES["llama"], 64, 32, 96), layers=3)
GROWING = {
    "memory.beat_bytes": (16, 32, 64),
    "memory.channels": (1, 2, 4),
    "buffers.stream_kib": (16, 32, 64),
    "buffers.vector_kib": (64, 128, 256),
    "buffers.activation_kib": (32, 64, 128),
    "buffers.staging_kib": (4, 8, 16),
    "sfu.lanes": (4, 8, 16),
}
RUNS = (("decode", 1, 0), ("decode", 1, 70), ("prefill", 8, 0), ("prefill", 50, 10))
CONTEXT = 96
SIZES = st.fixed_dictionaries({key: st.sampled_from(of) for key, of in GROWING.items()})


@settings(max_examples=50)
@given(
    sizes=SIZES,
    key=st.sampled_from(sorted(GROWING)),
    run=st.sampled_from(RUNS),
)
def test_more_is_never_slower(sizes: dict[str, int], key: str, run: tuple[str, int, int]) -> None:
    phase, tokens, position = run
    at = GROWING[key].index(sizes[key])
    found = [
        predict(BASE.replace({**sizes, key: size}), SHAPE, phase, tokens, position, context=CONTEXT)  # type: ignore[arg-type]
        for size in GROWING[key][at:]
    ]
    for one in found:
        assert one.cycles >= one.bound > 0
    for less, more in pairwise(found):
        assert more.cycles <= less.cycles * (1 + 1e-9)


@settings(max_examples=50)
@given(
    sizes=SIZES,
    tokens=st.sampled_from((2, 4, 8)),
    chunk=st.sampled_from((16, 32)),
    run=st.sampled_from(RUNS),
)
def test_more_tokens_are_never_slower_where_results_leave_as_fast(
    sizes: dict[str, int], tokens: int, chunk: int, run: tuple[str, int, int]
) -> None:
    phase, rows, position = run
    less, more = (
        BASE.replace({**sizes, "prefill_chunk": chunk, "mpe.tokens": count})
        for count in (tokens, 2 * tokens)
    )
    try:
        found = [
            predict(one, SHAPE, phase, rows, position, context=CONTEXT)  # type: ignore[arg-type]
            for one in (less, more)
        ]
    except DoesNotFit:
        assume(False)
    assume(output_cycles(less) == output_cycles(more))
    assume(phase == "decode" or cut(less) == cut(more))
    assert found[1].cycles <= found[0].cycles * (1 + 1e-9)


def output_cycles(design: Design) -> int:
    """Cycles in which the results of a row block leave."""
    return design.chains_per_core * design.mpe.tokens // design.output_width


def cut(design: Design) -> tuple[int, int, int]:
    """How a prefill goes through the buffers."""
    found = place(build_graph(pad_heads(SHAPE)), design, CONTEXT, Precision()).prefill
    return found.streams, found.rows, found.attention_rows
