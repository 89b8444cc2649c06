"""A design with more of something is never slower, and never beats what none can be faster than.

Tokens of the matrix engine are no such thing: a run of fewer rows waits for the results of all, in
RTL as in the cycle model.
"""

from dataclasses import replace
from itertools import pairwise

from hypothesis import given, settings
from hypothesis import strategies as st
from tests.shapes import FAMILIES, sized

from alula.cost import predict
from alula.design import load_design

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


@settings(max_examples=50)
@given(
    sizes=st.fixed_dictionaries({key: st.sampled_from(of) for key, of in GROWING.items()}),
    key=st.sampled_from(sorted(GROWING)),
    run=st.sampled_from(RUNS),
)
def test_more_is_never_slower(sizes: dict[str, int], key: str, run: tuple[str, int, int]) -> None:
    phase, tokens, position = run
    at = GROWING[key].index(sizes[key])
    found = [
        predict(BASE.replace({**sizes, key: size}), SHAPE, phase, tokens, position, context=96)  # type: ignore[arg-type]
        for size in GROWING[key][at:]
    ]
    for one in found:
        assert one.cycles >= one.bound > 0
    for less, more in pairwise(found):
        assert more.cycles <= less.cycles * (1 + 1e-9)
