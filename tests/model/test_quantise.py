"""QUANT and QUANTKV against exact fractions."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.model import reference
from tests.model.bench import DESIGNS, KV260, NAMES, NARROW, Bench
from tests.model.reference import fractions

from alula.design import Design


def row_of(bench: Bench, dst: int, row: int, groups: int) -> tuple[int, list[int], list[int]]:
    """Exponent, scales and values of a row of the activation buffer."""
    q, scale, exponent = bench.machine.state.activations
    tokens = bench.design.mpe.tokens
    start, slot = dst + row // tokens * groups, row % tokens
    values = q[start : start + groups, slot].reshape(-1).tolist()
    return int(exponent[start, slot]), scale[start : start + groups, slot].tolist(), values


NORMALS = st.floats(width=32, allow_subnormal=False, allow_nan=False, allow_infinity=False)
VALUES = st.floats(-300, 300, width=32, allow_subnormal=False) | NORMALS


@settings(max_examples=150)
@given(st.lists(VALUES, min_size=1, max_size=100))
def test_quant_of_anything(values: list[float]) -> None:
    bench = Bench()
    x = np.array(values, np.float32) + np.float32(0)
    bench.put(0, x)
    bench.run(f"QUANT src=0 dst=3 rows=1 len={x.size} stride=0")
    assert row_of(bench, 3, 0, -(-x.size // 32)) == reference.quantise(fractions(x))


def test_quant_rounds_ties_to_even() -> None:
    bench = Bench()
    x = np.zeros(64, np.float32)
    x[0] = 25400
    x[32:40] = [0.5, 1.5, 2.5, 3.5, -0.5, -1.5, -2.5, 126.5]
    bench.put(0, x)
    bench.run("QUANT src=0 dst=0 rows=1 len=64 stride=0")
    power, scales, values = row_of(bench, 0, 0, 2)
    assert (power, scales[1]) == (0, 1)
    assert values[32:40] == [0, 2, 2, 4, 0, -2, -2, 126]


@pytest.mark.parametrize("design", DESIGNS, ids=NAMES)
@pytest.mark.parametrize("length", [32, 40, 96])
def test_quant_places_rows_in_slots(design: Design, length: int) -> None:
    bench = Bench(design)
    rows, slot, groups = 5, 3, -(-length // 32)
    stride = bench.words(length) + 1
    x = np.random.default_rng(length).standard_normal((rows, length)).astype(np.float32)
    x[1] = 0
    x[2, :32] *= 2.0**-20
    for row in range(rows):
        bench.put(row * stride, x[row])
    bench.run(f"QUANT src=0 dst=7 slot={slot} rows={rows} len={length} stride={stride}")
    for row in range(rows):
        assert row_of(bench, 7, slot + row, groups) == reference.quantise(fractions(x[row]))


@pytest.mark.parametrize("design", [KV260, NARROW], ids=["16 lanes", "8 lanes"])
@pytest.mark.parametrize("dim", [16, 48, 64])
def test_quantkv(design: Design, dim: int) -> None:
    bench = Bench(design)
    rows, heads = 3, 2
    stride = bench.words(heads * dim) + 1
    x = np.random.default_rng(dim).standard_normal((rows, heads, dim)).astype(np.float32) * 9
    x[1, 1] = 0
    x[2, 0] = 2.0**-125
    for row in range(rows):
        bench.put(row * stride, x[row])
    bench.machine.state.staging[:] = 55
    bench.run(f"QUANTKV src=0 dst=4 rows={rows} heads={heads} dim={dim} stride={stride}")
    padded = -(-dim // 32) * 32
    for row in range(rows):
        for head in range(heads):
            scale, values = reference.quantise_kv(fractions(x[row, head]))
            place = 4 + row * heads + head
            assert bench.machine.state.staging[place, :dim].tolist() == values
            assert not bench.machine.state.staging[place, dim:padded].any()
            bits = np.uint32(bench.machine.state.staging_scale[place]) << np.uint32(16)
            assert fractions([np.uint32(bits).view(np.float32)]) == [scale]


@settings(max_examples=100)
@given(st.lists(VALUES, min_size=16, max_size=16))
def test_quantkv_of_anything(values: list[float]) -> None:
    bench = Bench()
    x = np.array(values, np.float32) + np.float32(0)
    bench.put(0, x)
    bench.run("QUANTKV src=0 dst=0 rows=1 heads=1 dim=16 stride=0")
    _, expected = reference.quantise_kv(fractions(x))
    assert bench.machine.state.staging[0, :16].tolist() == expected
