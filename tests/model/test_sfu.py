"""MISC's instructions against exact fractions, on designs of different lanes."""

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.model import reference
from tests.model.bench import KV260, NARROW, Bench, read_bytes
from tests.model.reference import fl, floats, fractions

from alula.design import Design
from alula.isa.functions import SOFTCAP

BOTH = pytest.mark.parametrize("design", [KV260, NARROW], ids=["16 lanes", "8 lanes"])


def bits(value: float) -> int:
    return int(np.float32(value).view(np.uint32))


def sample(seed: int, *shape: int, scale: float = 1.0) -> np.ndarray:
    return (np.random.default_rng(seed).standard_normal(shape) * scale).astype(np.float32)


@BOTH
@pytest.mark.parametrize("length", [1, 16, 61, 64, 200])
@pytest.mark.parametrize("name", ["RMSNORM", "LAYERNORM"])
def test_norms(design: Design, length: int, name: str) -> None:
    bench = Bench(design)
    words, rows = bench.words(length), 3
    x = sample(length, rows, length, scale=30)
    gain, bias = sample(1, length), sample(2, length)
    for row in range(rows):
        bench.put(row * words, x[row])
    bench.put(100, gain)
    bench.put(100 + words, bias)
    inv, eps = np.float32(1 / length), np.float32(1e-5)
    bench.run(
        f"{name} dst=200 src=0 gain=100 rows={rows} len={length} inv=r1 eps=r2",
        r1=bits(inv),
        r2=bits(eps),
    )
    constants = fractions([inv, eps])
    for row in range(rows):
        if name == "RMSNORM":
            expected = reference.rmsnorm(fractions(x[row]), fractions(gain), *constants)
        else:
            expected = reference.layernorm(
                fractions(x[row]), fractions(gain), fractions(bias), *constants
            )
        actual = bench.get(200 + row * words, words * bench.lanes)
        np.testing.assert_array_equal(actual[:length], floats(expected))
        assert not actual[length:].any()


def test_norm_of_zeros_uses_epsilon_alone_and_zero_epsilon_the_largest_number() -> None:
    bench = Bench()
    bench.put(0, np.zeros(16))
    bench.put(1, np.ones(16))
    bench.run("RMSNORM dst=2 src=0 gain=1 rows=1 len=16 inv=r1 eps=r2", r1=bits(1 / 16), r2=0)
    assert not bench.get(2, 16).any()


@BOTH
@pytest.mark.parametrize("step", [0, 1])
@pytest.mark.parametrize("length", [1, 31, 32, 63, 65, 130])
def test_softmax(design: Design, length: int, step: int) -> None:
    bench = Bench(design)
    rows, stride = 4, bench.words(192) + 1
    last = length + (rows - 1) * step
    width = -(-last // 32) * 32
    x = sample(length, rows, last, scale=8)
    scale = np.abs(sample(3, last))
    for row in range(rows):
        bench.put(row * stride, np.full(stride * bench.lanes, 5))
        bench.put(row * stride, x[row])
    bench.put(1000, scale)
    bench.run(f"SOFTMAX src=0 rows={rows} len={length} step={step} stride={stride} scale=1000")
    for row in range(rows):
        valid = length + row * step
        expected = reference.softmax(fractions(x[row, :valid]), fractions(scale[:valid]))
        actual = bench.get(row * stride, stride * bench.lanes)
        np.testing.assert_array_equal(actual[:valid], floats(expected))
        assert not actual[valid:width].any()
        assert actual[width:].all()


@settings(max_examples=60)
@given(
    st.lists(st.floats(-200, 200, width=32, allow_subnormal=False), min_size=1, max_size=80),
    st.integers(0, 3),
)
def test_softmax_of_anything(values: list[float], power: int) -> None:
    bench = Bench()
    x = np.array(values, np.float32) * np.float32(10**power) + np.float32(0)
    bench.put(0, x)
    bench.put(50, np.ones(x.size))
    bench.run(f"SOFTMAX src=0 rows=1 len={x.size} stride=0 scale=50")
    expected = reference.softmax(fractions(x), [Fraction(1)] * x.size)
    np.testing.assert_array_equal(bench.get(0, x.size), floats(expected))


@pytest.mark.parametrize(
    ("design", "dim"), [(KV260, 64), (KV260, 96), (KV260, 32), (NARROW, 32), (NARROW, 48)]
)
def test_rope(design: Design, dim: int) -> None:
    bench = Bench(design)
    rows, heads = 3, 2
    stride = bench.words(heads * dim) + 1
    x = sample(dim, rows, heads, dim)
    angles = sample(4, rows, dim // 2, scale=3)
    table = np.concatenate([np.cos(angles), np.sin(angles)], 1).astype(np.float32)
    for row in range(rows):
        bench.put(row * stride, x[row])
    bench.put(100, table)
    bench.run(f"ROPE src=0 table=100 rows={rows} heads={heads} dim={dim} stride={stride}")
    half = dim // 2
    for row in range(rows):
        cosines, sines = fractions(table[row, :half]), fractions(table[row, half:])
        expected = []
        for head in range(heads):
            a, b = fractions(x[row, head, :half]), fractions(x[row, head, half:])
            quads = list(zip(a, b, cosines, sines, strict=True))
            expected += [fl(fl(p * c) - fl(q * s)) for p, q, c, s in quads]
            expected += [fl(fl(q * c) + fl(p * s)) for p, q, c, s in quads]
        np.testing.assert_array_equal(bench.get(row * stride, heads * dim), floats(expected))


@BOTH
@pytest.mark.parametrize("gated", [0, 1])
@pytest.mark.parametrize("func", list(reference.ACTIVATIONS))
def test_act(design: Design, func: str, gated: int) -> None:
    bench = Bench(design)
    count = 12 * bench.lanes
    a, b = sample(5, count, scale=6), sample(6, count)
    a[:4] = 0, 100, -100, 2.0**-120
    bench.put(0, a)
    bench.put(20, b)
    bench.run(f"ACT func={func} gated={gated} dst=40 a=0 b=20 count=12")
    expected = [reference.ACTIVATIONS[func](value) for value in fractions(a)]
    if gated:
        expected = [fl(y * g) for y, g in zip(expected, fractions(b), strict=True)]
    np.testing.assert_array_equal(bench.get(40, count), floats(expected))
    bench.run(f"ACT func={func} gated={gated} dst=0 a=0 b=20 count=12")
    np.testing.assert_array_equal(bench.get(0, count), floats(expected))


@BOTH
@pytest.mark.parametrize("cap", [0.75, 30.0])
def test_soft_cap(design: Design, cap: float) -> None:
    bench = Bench(design)
    inv, span = np.float32(2 / cap), np.float32(2 * cap)
    x = sample(5, 3, 4 * bench.lanes, scale=40)
    x[0, :4] = 0, 1000, -1000, 2.0**-120
    for row in range(3):
        bench.put(5 * row, x[row])
    registers = "".join(
        f"LI rd=r{number} value={value.view(np.uint32):#x}\n"
        for number, value in ((1, inv), (2, span))
    )
    bench.run(f"{registers}SOFTCAP src=0 rows=3 words=4 stride=5 inv=r1 span=r2")
    for row in range(3):
        expected = [
            fl(fl(reference.sigmoid(fl(value * Fraction(float(inv)))) - Fraction(1, 2))
               * Fraction(float(span)))
            for value in fractions(x[row])
        ]  # fmt: skip
        found = bench.get(5 * row, x.shape[1])
        np.testing.assert_array_equal(found, floats(expected))
        wanted = cap * np.tanh(x[row].astype(np.float64) / cap)
        assert np.abs(found - wanted).max() <= SOFTCAP.error * cap


@BOTH
@pytest.mark.parametrize("broadcast", [0, 1])
def test_add(design: Design, broadcast: int) -> None:
    bench = Bench(design)
    size = 2 * bench.lanes
    a, b = sample(7, 3, size), sample(8, 3, size)
    bench.put(0, a)
    bench.put(20, b)
    bench.run(f"ADD dst=40 a=0 b=20 rows=3 words=2 broadcast={broadcast}")
    expected = a + (b[:1] if broadcast else b)
    np.testing.assert_array_equal(bench.get(40, 3 * size), expected.reshape(-1))


def test_argmax_runs_from_call_to_call() -> None:
    bench = Bench()
    bench.put(0, np.array([-5, -2, -9]))
    bench.put(1, np.array([-3, -2, -2]))
    bench.put(2, np.array([7, 8, 8]))
    read = "ARG rd=r1 wait=MISC\nST.W value=r1 addr=0\n"
    first = "ARGMAX src=0 count=3 base=100 first=1 signal=SYS\n"
    more = "ARGMAX src=1 count=3 base=200 signal=SYS\n"
    last = "ARGMAX src=2 count=3 base=300 signal=SYS\n"
    for text, expected in (
        (first, 101),
        (first + "NOP wait=MISC\n" + more, 101),
        (last, 301),
        (more, 301),
        ("ARGMAX src=0 count=0 base=0 first=1 signal=SYS\n", 0),
    ):
        bench.run(text + read)
        assert read_bytes(bench.machine, 0, 4).view(np.uint32)[0] == expected
