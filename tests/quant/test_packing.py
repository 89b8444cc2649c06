import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from alula.isa.formats import FORMATS
from alula.quant import QuantizedMatrix, pack, unpack

PARTS = ("q", "c", "s", "m")


def random_matrix(fmt, rows, inputs, seed=0):
    rng = np.random.default_rng(seed)
    groups = -(-inputs // 32)
    c = (rng.integers(0x80, 0x7F80, rows).astype(np.uint32) << 16).view(np.float32)
    if fmt == "V8":
        c = np.ones(rows, np.float32)
    if fmt != "W4":
        q = rng.integers(-127, 128, (rows, 32 * groups)).astype(np.int8)
        return QuantizedMatrix(fmt, (rows, inputs), q, c)
    q = rng.integers(0, 16, (rows, 32 * groups)).astype(np.uint8)
    s = rng.integers(0, 256, (rows, groups)).astype(np.uint8)
    m = rng.integers(-128, 128, (rows, groups)).astype(np.int8)
    return QuantizedMatrix(fmt, (rows, inputs), q, c, s, m)


def zeros(fmt, rows, inputs):
    matrix = random_matrix(fmt, rows, inputs)
    for name in PARTS:
        if getattr(matrix, name) is not None:
            getattr(matrix, name)[:] = 0
    return matrix


def only_byte(beats):
    ((beat, byte),) = np.argwhere(beats)
    return int(beat), int(byte), int(beats[beat, byte])


matrices = st.builds(
    random_matrix,
    st.sampled_from(sorted(FORMATS)),
    st.integers(1, 60),
    st.integers(1, 200),
    st.integers(0, 99),
)


@settings(deadline=None, max_examples=120)
@given(matrices, st.integers(1, 5), st.integers(1, 7))
def test_round_trip_and_size(matrix, channels, share):
    rows = channels * share
    beats = pack(matrix, channels, rows)
    blocks = -(-matrix.shape[0] // rows)
    assert beats.shape == (FORMATS[matrix.format].beats(blocks, matrix.groups), 8 * rows)
    again = unpack(beats, matrix.format, matrix.shape, channels, rows)
    for name in PARTS:
        mine, other = getattr(matrix, name), getattr(again, name)
        assert (mine is None and other is None) or (mine == other).all()


@settings(deadline=None, max_examples=60)
@given(matrices, st.integers(1, 4), st.integers(1, 5), st.data())
def test_one_value_lies_where_the_contract_says(matrix, channels, share, data):
    """Flip one q and find its byte by the words of section 3, without the packing's arithmetic."""
    rows, fmt = channels * share, FORMATS[matrix.format]
    n = data.draw(st.integers(0, matrix.shape[0] - 1))
    k = data.draw(st.integers(0, 32 * matrix.groups - 1))
    before = pack(matrix, channels, rows)
    matrix.q[n, k] ^= 1
    changed = before ^ pack(matrix, channels, rows)
    block, row = divmod(n, rows)
    channel, local = divmod(row, share)
    bit = (local * 16 + k % 16) * fmt.bits
    beat = fmt.value_beat(block, k // 32, matrix.groups) + k % 32 // 16 * fmt.bits // 4
    beat, bit = beat + bit // (64 * share), bit % (64 * share)
    assert only_byte(changed) == (beat, channel * 8 * share + bit // 8, 1 << bit % 8)


@settings(deadline=None, max_examples=60)
@given(st.integers(1, 40), st.integers(1, 300), st.integers(1, 4), st.integers(1, 5), st.data())
def test_one_meta_and_scale_lie_where_the_contract_says(n_rows, inputs, channels, share, data):
    rows, fmt = channels * share, FORMATS["W4"]
    matrix = zeros("W4", n_rows, inputs)
    n = data.draw(st.integers(0, n_rows - 1))
    g = data.draw(st.integers(0, matrix.groups - 1))
    block, row = divmod(n, rows)
    channel, local = divmod(row, share)
    index = block * matrix.groups + g
    meta = fmt.meta_beat(block, g, matrix.groups)
    byte = channel * 8 * share + index % 4 * 2 * share + local
    matrix.s[n, g] = 77
    assert only_byte(pack(matrix, channels, rows)) == (meta, byte, 77)
    matrix.s[n, g], matrix.m[n, g] = 0, -3
    assert only_byte(pack(matrix, channels, rows)) == (meta, byte + share, 253)
    matrix.m[n, g], matrix.c[n] = 0, 2.0
    byte = channel * 8 * share + (block % 4 * share + local) * 2
    beat = fmt.scale_beat(block, matrix.groups)
    assert only_byte(pack(matrix, channels, rows)) == (beat, byte + 1, 0x40)


class TestByHand:
    """Two channels of three rows: R = 6, a beat is 48 bytes, a channel's part 24.

    40 rows are 7 row blocks, 96 inputs 3 groups. W4's stream starts: scales of blocks 0-3, metas of
    groups 0-3, values of group 0 (2 beats), 1, 2, of block 1's group 0 (index 3), metas of 4-7, ...
    """

    def place(self, fmt, **values):
        matrix = zeros(fmt, 40, 96)
        for name, (index, value) in values.items():
            getattr(matrix, name)[index] = value
        return only_byte(pack(matrix, 2, 6))

    def test_w4_values(self):
        assert self.place("W4", q=((0, 0), 5)) == (2, 0, 5)
        assert self.place("W4", q=((0, 1), 5)) == (2, 0, 0x50)
        assert self.place("W4", q=((1, 17), 5)) == (3, 8, 0x50)
        assert self.place("W4", q=((3, 0), 5)) == (2, 24, 5)
        assert self.place("W4", q=((5, 95), 5)) == (7, 24 + 23, 0x50)
        assert self.place("W4", q=((6, 0), 5)) == (8, 0, 5)
        assert self.place("W4", q=((6, 32), 5)) == (11, 0, 5)

    def test_w4_metas(self):
        assert self.place("W4", s=((0, 0), 9)) == (1, 0, 9)
        assert self.place("W4", m=((0, 0), -1)) == (1, 3, 255)
        assert self.place("W4", s=((2, 2), 9)) == (1, 2 * 6 + 2, 9)
        assert self.place("W4", s=((6 + 4, 0), 9)) == (1, 24 + 3 * 6 + 1, 9)
        assert self.place("W4", s=((6, 1), 9)) == (10, 0, 9)

    def test_w4_scales(self):
        assert self.place("W4", c=(0, 1.0 * 2**-125)) == (0, 1, 0x01)
        assert self.place("W4", c=(6 * 3 + 4, 2.0)) == (0, 24 + (3 * 3 + 1) * 2 + 1, 0x40)
        # 4 blocks of 3 groups: 1 scale beat, 3 meta beats, 24 value beats before the next.
        assert self.place("W4", c=(24, 2.0)) == (28, 1, 0x40)

    def test_w8(self):
        assert self.place("W8", q=((0, 15), -1)) == (1, 15, 255)
        # Row 1 of a channel's three: its 16 bytes straddle the two beats of the block.
        assert self.place("W8", q=((1, 7), 3)) == (1, 23, 3)
        assert self.place("W8", q=((1, 8), 3)) == (2, 0, 3)
        assert self.place("W8", q=((4, 16 + 8), 3)) == (4, 24, 3)
        assert self.place("W8", q=((24, 0), 3)) == (1 + 4 * 12 + 1, 0, 3)

    def test_v8_has_values_only(self):
        assert self.place("V8", q=((0, 0), 3)) == (0, 0, 3)
        assert self.place("V8", q=((6, 32), 3)) == (16, 0, 3)


def test_refusals():
    matrix = zeros("W4", 8, 32)
    with pytest.raises(
        ValueError, match=r"rows must be a positive multiple of channels \(3\), not 8"
    ):
        pack(matrix, 3, 8)
    with pytest.raises(ValueError, match=r"beats must be uint8 \(4, 64\), not uint8 \(3, 64\)"):
        unpack(pack(matrix, 1, 8)[:3], "W4", (8, 32), 1, 8)
    matrix.c[0] = 1.001
    with pytest.raises(ValueError, match="values must be bf16"):
        pack(matrix, 1, 8)
