"""MM and MV on every format and design, against numpy's integers."""

from fractions import Fraction

import numpy as np
import pytest
from tests.model.bench import DESIGNS, KV260, NAMES, ODD, Bench
from tests.model.layout import pack, random_weights
from tests.model.reference import fl, floats

from alula.design import Design
from alula.isa import FORMATS, WEIGHT_FORMATS
from alula.model import OutOfRange, UndefinedBehaviour

WEIGHTS = 64
"""Beat of the weights."""


def put_rows(bench: Bench, src: int, rows: int, groups: int, seed: int) -> np.ndarray:
    """Random activations in the buffer; their integers, object [row, K], exponents [row]."""
    rng = np.random.default_rng(seed)
    q, scale, exponent = bench.machine.state.activations
    tokens = bench.design.mpe.tokens
    values = np.zeros((rows, 32 * groups), np.int64)
    powers = []
    for row in range(rows):
        first, slot = src + row // tokens * groups, row % tokens
        exponent[first, slot] = rng.integers(-12, 3)
        powers.append(int(exponent[first, slot]))
        for group in range(groups):
            q[first + group, slot] = rng.integers(-127, 128, 32)
            scale[first + group, slot] = rng.integers(1, 256)
            whole = q[first + group, slot].astype(np.int64) * int(scale[first + group, slot])
            values[row, 32 * group : 32 * group + 32] = whole
    return values, powers


def expected_rows(values: np.ndarray, powers: list[int], weights) -> np.ndarray:
    acc = values @ weights.integers.T
    factors = [Fraction(float(c)) for c in weights.factors]
    return np.array(
        [
            floats(
                [
                    fl(fl(fl(Fraction(int(a))) * c) * Fraction(2) ** power)
                    for a, c in zip(row, factors, strict=True)
                ]
            )
            for row, power in zip(acc, powers, strict=True)
        ]
    )


@pytest.mark.parametrize("design", DESIGNS, ids=NAMES)
@pytest.mark.parametrize("fmt", WEIGHT_FORMATS, ids=" ".join)
@pytest.mark.parametrize(
    ("engine", "rows", "blocks", "groups"), [("MV", 1, 5, 3), ("MM", 1, 1, 1), ("MM", 5, 9, 2)]
)
def test_products(
    design: Design, fmt: tuple[str, str], engine: str, rows: int, blocks: int, groups: int
) -> None:
    name, nm = fmt
    item = WEIGHT_FORMATS[fmt]
    if nm != "dense":
        design = design.replace({"mpe.sparse": True, "part.dsp": 100_000})
    bench = Bench(design)
    weights = random_weights(name, design, blocks, groups, seed=blocks, nm=nm)
    bench.machine.write(WEIGHTS, pack(weights, design))
    values, powers = put_rows(bench, 3, rows, groups, seed=rows)
    results = len(weights.q)
    stride = bench.words(results) + 1
    bench.put(10, np.full(rows * stride * bench.lanes, 9))
    shape = f"fmt={name} nm={nm} groups={groups}"
    counters = bench.run(
        f"LD.W to={engine} addr={WEIGHTS} {shape} blocks={blocks}\n"
        f"{engine} {shape} outputs={results} src=3 rows={rows} dst=10 stride={stride}"
    )
    expected = expected_rows(values, powers, weights)
    for row in range(rows):
        actual = bench.get(10 + row * stride, stride * bench.lanes)
        np.testing.assert_array_equal(actual[:results], expected[row])
        end = bench.words(results) * bench.lanes
        assert not actual[results:end].any()
        assert actual[end:].all()
    assert counters.macs == rows * results * groups * 32 // item.pattern.segments
    assert counters.bytes_read == item.beats(blocks, groups) * design.bytes_per_cycle


def test_padding_of_the_last_row_block_is_dropped() -> None:
    bench = Bench(ODD)
    weights = random_weights("V8", ODD, 3, 1)
    bench.machine.write(WEIGHTS, pack(weights, ODD))
    values, powers = put_rows(bench, 0, 2, 1, seed=1)
    bench.put(0, np.full(40, 9))
    bench.run(
        f"LD.W to=MM addr={WEIGHTS} fmt=V8 blocks=3 groups=1\n"
        f"MM fmt=V8 outputs={2 * ODD.rows + 1} groups=1 src=0 rows=2 dst=0 stride=4"
    )
    expected = expected_rows(values, powers, weights)[:, : 4 * ODD.sfu.lanes]
    expected[:, 2 * ODD.rows + 1 :] = 0
    np.testing.assert_array_equal(bench.get(0, 32), expected.reshape(-1))
    assert (bench.get(8, 8) == 9).all()


@pytest.mark.parametrize("design", DESIGNS, ids=NAMES)
def test_a_stride_leaves_room_between_row_blocks(design: Design) -> None:
    bench = Bench(design)
    weights = random_weights("V8", design, 3, 2)
    bench.machine.write(WEIGHTS, pack(weights, design, stride=13))
    values, powers = put_rows(bench, 0, 1, 2, seed=1)
    stride = bench.words(3 * design.rows)
    bench.run(
        f"LD.W to=MV addr={WEIGHTS} fmt=V8 blocks=3 groups=2 stride=r1\n"
        f"MV fmt=V8 blocks=3 groups=2 src=0 rows=1 dst=0 stride={stride}",
        r1=13,
    )
    np.testing.assert_array_equal(
        bench.get(0, 3 * design.rows), expected_rows(values, powers, weights)[0]
    )


@pytest.mark.parametrize("fmt", list(FORMATS))
def test_the_largest_values_meet(fmt: str) -> None:
    bench = Bench()
    groups = 48
    q, scale, exponent = bench.machine.state.activations
    q[:groups, 0], scale[:groups, 0], exponent[:1, 0] = -127, 255, 0
    weights = random_weights(fmt, KV260, 8, groups)
    weights.q[:] = 0 if FORMATS[fmt].excess else -127
    weights.s[:] = 255
    weights.m[:] = -128
    bench.machine.write(WEIGHTS, pack(weights, KV260))
    shape = f"fmt={fmt} blocks=8 groups={groups}"
    bench.run(
        f"LD.W to=MV addr={WEIGHTS} {shape}\nMV {shape} src=0 rows=1 dst=0 stride=4\n",
    )
    values = np.full((1, 32 * groups), -127 * 255)
    np.testing.assert_array_equal(bench.get(0, 64), expected_rows(values, [0], weights)[0])


@pytest.mark.parametrize("nm", ["2:4", "2:16", "4:16", "8:16"])
def test_the_largest_pruned_values_meet(nm: str) -> None:
    design = KV260.replace({"mpe.sparse": True})
    bench = Bench(design)
    q, scale, exponent = bench.machine.state.activations
    q[:48, 0], scale[:48, 0], exponent[:1, 0] = -127, 255, 0
    weights = random_weights("W4", design, 2, 48, nm=nm)
    weights.q[weights.q != 0] = -8
    weights.s[:] = -128
    bench.machine.write(WEIGHTS, pack(weights, design))
    shape = f"fmt=W4 nm={nm} outputs={len(weights.q)} groups=48"
    bench.run(
        f"LD.W to=MV addr={WEIGHTS} fmt=W4 nm={nm} blocks=2 groups=48\n"
        f"MV {shape} src=0 rows=1 dst=0 stride=8"
    )
    values = np.full((1, 32 * 48), -127 * 255)
    expected = expected_rows(values, [0], weights)[0]
    np.testing.assert_array_equal(bench.get(0, len(weights.q)), expected)


def test_an_input_that_is_stored_twice_is_refused() -> None:
    design = KV260.replace({"mpe.sparse": True})
    bench = Bench(design)
    weights = random_weights("W8", design, 1, 1, nm="4:16")
    weights.kept[5, 1, 2] = weights.kept[5, 1, 0]
    bench.machine.write(WEIGHTS, pack(weights, design))
    with pytest.raises(UndefinedBehaviour, match="4:16 inputs must be stored once, not twice"):
        bench.run(f"LD.W to=MV addr={WEIGHTS} fmt=W8 nm=4:16 blocks=1 groups=1")


def test_indices_of_a_row_block_must_fit_half_of_the_stream() -> None:
    design = KV260.replace({"mpe.sparse": True, "buffers.stream_kib": 4})
    bench = Bench(design)
    shape = "fmt=W2 nm=8:16 groups=r1"
    text = (
        f"LD.W to=MM addr=0 {shape} blocks=1\n"
        f"MM {shape} outputs=16 src=0 rows={design.mpe.tokens + 1} dst=0 stride=1"
    )
    bench.machine.write(0, pack(random_weights("W2", design, 1, 17, nm="8:16"), design))
    bench.run(text, r1=16)
    expected = "MM index beats of a row block must be at most 32, not 34"
    with pytest.raises(OutOfRange, match=expected):
        bench.run(text, r1=17)


def test_results_flush_and_saturate() -> None:
    bench = Bench()
    weights = random_weights("W8", KV260, 2, 1)
    bench.machine.write(WEIGHTS, pack(weights, KV260))
    q, scale, exponent = bench.machine.state.activations
    q[0, :2], scale[0, :2] = 1, 1
    exponent[0, 0], exponent[0, 1] = -139, 127
    values = np.ones((2, 32), np.int64)
    shape = "fmt=W8 blocks=2 groups=1"
    bench.run(f"LD.W to=MV addr={WEIGHTS} {shape}\nMV {shape} src=0 rows=2 dst=0 stride=1")
    expected = expected_rows(values, [-139, 127], weights)
    np.testing.assert_array_equal(bench.get(0, 32), expected.reshape(-1))
    assert (np.abs(expected[1]) == np.finfo(np.float32).max).any()


def test_an_accumulator_that_overflows_is_refused() -> None:
    design = KV260.replace({"mpe.accumulator_bits": 32})
    bench = Bench(design)
    weights = random_weights("W8", design, 1, 8)
    weights.q[:] = 127
    bench.machine.write(WEIGHTS, pack(weights, design))
    q, scale, _ = bench.machine.state.activations
    q[:8, 0], scale[:8, 0] = 127, 128
    shape = "fmt=W8 blocks=1 groups=8"
    text = f"LD.W to=MV addr={WEIGHTS} {shape}\nMV {shape} src=0 rows=1 dst=0 stride=1"
    bench.run(text)
    weights = random_weights("W8", design, 1, 48)
    weights.q[:] = 127
    bench.machine.write(WEIGHTS, pack(weights, design))
    q[:48, 0], scale[:48, 0] = 127, 128
    with pytest.raises(UndefinedBehaviour, match="MV accumulators must fit 32 bits signed"):
        bench.run(text.replace("groups=8", "groups=48"))
