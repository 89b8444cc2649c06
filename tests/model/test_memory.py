"""LD and ST between memory and the buffers."""

import numpy as np
import pytest
from tests.model.bench import DESIGNS, NAMES, Bench, read_bytes
from tests.model.layout import dense, pack

from alula.design import Design
from alula.isa import FORMATS

EACH = pytest.mark.parametrize("design", DESIGNS, ids=NAMES)


def memory_floats(seed: int, count: int) -> np.ndarray:
    """Bits that memory may hold, unclean ones among them, and what they become."""
    bits = np.random.default_rng(seed).integers(0, 2**32, count, np.uint32)
    bits[:6] = [0x80000000, 1, 0x7F800000, 0xFF800000, 0x7FC00000, 0x3F800000]
    exponent = bits >> 23 & 255
    clean = np.where(exponent == 255, bits & 0x80000000 | 0x7F7FFFFF, bits)
    return bits, np.where(exponent == 0, 0, clean).astype(np.uint32)


@EACH
@pytest.mark.parametrize("count", [1, 7, 64, 100])
def test_vectors_of_fp32(design: Design, count: int) -> None:
    bench = Bench(design)
    bits, clean = memory_floats(count, max(count, 6))
    bench.machine.write(5, bits[:count])
    bench.put(0, np.full(200, 3))
    counters = bench.run(f"LD.V type=fp32 addr=5 dst=1 count={count}")
    end = bench.words(count) * bench.lanes
    loaded = bench.get(1, end + 1).view(np.uint32)
    np.testing.assert_array_equal(loaded[:count], clean[:count])
    assert not loaded[count:end].any()
    assert loaded[end]
    beats = -(-4 * count // design.bytes_per_cycle)
    assert counters.bytes_read == beats * design.bytes_per_cycle

    bench.machine.write(9, np.full(2000, 0xAA, np.uint8))
    counters = bench.run(f"ST.V src=1 addr=9 count={count}")
    stored = read_bytes(bench.machine, 9, 2000)
    np.testing.assert_array_equal(stored[: 4 * count].view(np.uint32), clean[:count])
    assert (stored[4 * count :] == 0xAA).all()
    assert counters.bytes_written == 4 * count


@EACH
def test_vectors_of_bf16(design: Design) -> None:
    bench = Bench(design)
    bits, clean = memory_floats(1, 50)
    halves = (bits >> 16).astype(np.uint16)
    bench.machine.write(5, halves)
    bench.run("LD.V type=bf16 addr=5 dst=1 count=50")
    exponent = bits >> 23 & 255
    expected = np.where(exponent == 255, clean, clean & 0xFFFF0000)
    np.testing.assert_array_equal(bench.get(1, 50).view(np.uint32), expected)


@EACH
@pytest.mark.parametrize("element", ["fp32", "bf16"])
def test_gather(design: Design, element: str) -> None:
    bench = Bench(design)
    length, ids = 37, np.array([3, 0, 3, 5], np.uint32)
    table = np.random.default_rng(2).standard_normal((6, length)).astype(np.float32)
    table = (table.view(np.uint32) & np.uint32(0xFFFF0000)).view(np.float32)
    stored = table if element == "fp32" else (table.view(np.uint32) >> 16).astype(np.uint16)
    beats = -(-stored[0].nbytes // design.bytes_per_cycle)
    for row in range(6):
        bench.machine.write(100 + row * beats, stored[row])
    bench.machine.write(7, ids)
    bench.run(f"LD.G type={element} table=100 ids=7 count=4 len={length} dst=2")
    words = bench.words(length)
    for place, row in enumerate(ids):
        actual = bench.get(2 + place * words, words * bench.lanes)
        np.testing.assert_array_equal(actual[:length], table[row])
        assert not actual[length:].any()


@EACH
def test_words(design: Design) -> None:
    bench = Bench(design)
    last = design.bytes_per_cycle // 4 - 1
    bench.run("ST.W value=r1+1 addr=4 skip=r2\nST.W value=7 addr=4", r1=0xFFFFFFFE, r2=last)
    words = read_bytes(bench.machine, 4, design.bytes_per_cycle).view(np.uint32)
    assert words[last] == 0xFFFFFFFF
    assert words[0] == 7 or last == 0
    assert not words[1:last].any()


@EACH
@pytest.mark.parametrize("groups", [1, 2])
@pytest.mark.parametrize("position", [0, 13])
def test_rows_of_k_and_v_land_where_the_formats_say(
    design: Design, groups: int, position: int
) -> None:
    bench = Bench(design)
    state = bench.machine.state
    tokens, heads, dim, context = 5, 2, 32 * groups, 32
    rng = np.random.default_rng(groups)
    values = rng.integers(-127, 128, (tokens, heads, dim))
    scales = rng.integers(0x3000, 0x4000, (tokens, heads)).astype(np.uint16)
    state.staging[3 : 3 + tokens * heads, :dim] = values.reshape(-1, dim)
    state.staging_scale[3 : 3 + tokens * heads] = scales.reshape(-1)

    blocks = -(-context // design.rows)
    stride = FORMATS["W8"].beats(blocks, groups) + 2
    bench.run(
        f"ST.KEY src=3 addr=50 heads={heads} rows={tokens} groups={groups} stride=r1 position=r2",
        r1=stride,
        r2=position,
    )
    nothing = np.zeros((blocks * design.rows, groups), np.int64)
    for head in range(heads):
        q = np.zeros((blocks * design.rows, dim), np.int64)
        c = np.zeros(blocks * design.rows, np.uint16)
        q[position : position + tokens] = values[:, head]
        c[position : position + tokens] = scales[:, head]
        expected = pack(dense("W8", q, nothing, nothing, c), design)
        actual = read_bytes(bench.machine, 50 + head * stride, expected.size)
        np.testing.assert_array_equal(actual, expected.reshape(-1))

    blocks, pitch = -(-dim // design.rows), FORMATS["V8"].beats(1, context // 32) + 3
    after = blocks * pitch
    stride = after + 64
    counters = bench.run(
        f"ST.VALUE src=3 addr=5000 heads={heads} rows={tokens} groups={groups} stride=r1 "
        "position=r2 pitch=r3 scales=r4",
        r1=stride,
        r2=position,
        r3=pitch,
        r4=after,
    )
    assert counters.bytes_written == tokens * heads * (dim + 2)
    nothing = np.zeros((blocks * design.rows, context // 32), np.int64)
    for head in range(heads):
        q = np.zeros((blocks * design.rows, context), np.int64)
        q[:dim, position : position + tokens] = values[:, head].T
        weights = dense("V8", q, nothing, nothing, np.zeros(len(q), np.uint16))
        expected = pack(weights, design, stride=pitch)
        actual = read_bytes(bench.machine, 5000 + head * stride, expected.size)
        np.testing.assert_array_equal(actual, expected.reshape(-1))
        column = read_bytes(bench.machine, 5000 + head * stride + after, 2 * context).view(
            np.uint16
        )
        np.testing.assert_array_equal(column[position : position + tokens], scales[:, head])
        assert np.count_nonzero(column) == tokens


def test_a_cached_matrix_follows_what_is_written() -> None:
    bench = Bench()
    state = bench.machine.state
    state.activations[0][0, 0] = 1
    state.activations[1][0, 0] = 1
    product = (
        "LD.W to=MV addr=8 fmt=V8 blocks=2 groups=1\n"
        "MV fmt=V8 blocks=2 groups=1 src=0 rows=1 dst=0 stride=1\n"
    )

    def results() -> np.ndarray:
        bench.run(product)
        return bench.get(0, 16)

    assert not results().any()
    bench.machine.write(9, np.full(64, 1, np.uint8))
    assert results().tolist() == [0] * 4 + [16] * 4 + [0] * 8
    bench.machine.write(7, np.full(64, 1, np.uint8))
    assert results().sum() == 64
    bench.run("ST.W value=r1 addr=8", r1=0x01010101)
    assert results()[0] == 4
    state.staging[0, :32] = 2
    bench.run("ST.VALUE src=0 addr=8 heads=1 rows=1 groups=1 pitch=r1 scales=r2", r1=4, r2=100)
    assert results()[0] == 5
    bench.machine.write(8, np.zeros(64, np.uint8))
    assert results()[0] == 0
