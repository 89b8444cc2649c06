from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.model.bench import ODD
from tests.model.layout import pack as image
from tests.model.layout import random_weights

from alula.isa.formats import FORMATS, WEIGHT_FORMATS, BeatKind
from alula.quant import QuantizedMatrix, pack, unpack

PARTS = ("q", "c", "s", "m")


def random_matrix(fmt, rows, inputs, seed=0, nm="dense"):
    rng = np.random.default_rng(seed)
    groups, item = -(-inputs // 32), WEIGHT_FORMATS[fmt, nm]
    c = (rng.integers(0x80, 0x7F80, rows).astype(np.uint32) << 16).view(np.float32)
    if fmt == "V8":
        c = np.ones(rows, np.float32)
    if item.excess:
        q = rng.integers(0, 1 << item.bits, (rows, 32 * groups)).astype(np.uint8)
        s = rng.integers(0, 256, (rows, groups)).astype(np.uint8)
        m = rng.integers(-128, 128, (rows, groups)).astype(np.int8)
        return QuantizedMatrix(fmt, (rows, inputs), q, c, s, m)
    high = 1 << item.bits - 1
    q = rng.integers(-high, high, (rows, 32 * groups)).astype(np.int8)
    if nm == "dense":
        return QuantizedMatrix(fmt, (rows, inputs), np.maximum(q, -127), c)
    order = rng.permuted(
        np.tile(np.arange(item.pattern.of), (q.size // item.pattern.of, 1)), axis=1
    )
    q *= (order < item.pattern.kept).reshape(q.shape)
    s = rng.integers(-128, 128, (rows, groups)).astype(np.int8) if item.metas else None
    return QuantizedMatrix(fmt, (rows, inputs), q, c, s, None, nm)


def zeros(fmt, rows, inputs):
    matrix = random_matrix(fmt, rows, inputs)
    for name in PARTS:
        if getattr(matrix, name) is not None:
            getattr(matrix, name)[:] = 0
    return matrix


def only_byte(beats):
    ((beat, byte),) = np.argwhere(beats)
    return int(beat), int(byte), int(beats[beat, byte])


def matrices(formats):
    return st.builds(
        lambda name, *shape: random_matrix(name[0], *shape, nm=name[1]),
        st.sampled_from(formats),
        st.integers(1, 60),
        st.integers(1, 200),
        st.integers(0, 99),
    )


EVERY = sorted(WEIGHT_FORMATS)
WITHOUT_PATTERN = [(name, "dense") for name in FORMATS]


@settings(max_examples=200)
@given(matrices(EVERY), st.integers(1, 5), st.integers(1, 7))
def test_round_trip_and_size(matrix, channels, share):
    rows = channels * share
    beats = pack(matrix, channels, rows)
    item = WEIGHT_FORMATS[matrix.format, matrix.pattern]
    blocks = -(-matrix.shape[0] // (rows * item.pattern.segments))
    assert beats.shape == (item.beats(blocks, matrix.groups), 8 * rows)
    again = unpack(beats, matrix.format, matrix.shape, channels, rows, matrix.pattern)
    for name in PARTS:
        mine, other = getattr(matrix, name), getattr(again, name)
        assert (mine is None and other is None) or (mine == other).all()


@settings(max_examples=100)
@given(matrices(WITHOUT_PATTERN), st.integers(1, 4), st.integers(1, 5), st.data())
def test_one_value_lies_where_the_contract_says(matrix, channels, share, data):
    """Flip one q and find its bit as docs/reference/formats.md says, without the packing."""
    rows, fmt = channels * share, FORMATS[matrix.format]
    n = data.draw(st.integers(0, matrix.shape[0] - 1))
    k = data.draw(st.integers(0, 32 * matrix.groups - 1))
    before = pack(matrix, channels, rows)
    matrix.q[n, k] ^= 1
    changed = before ^ pack(matrix, channels, rows)
    block, row = divmod(n, rows)
    channel, local = divmod(row, share)
    # Blocks of 16 inputs follow each other without gaps; in each come the channel's rows.
    blocks = block * 2 * matrix.groups + k // 16
    number, bit = divmod((blocks * share + local) * 16 * fmt.bits + k % 16 * fmt.bits, 64 * share)
    beat = fmt.place(BeatKind.VALUE, number, matrix.groups)
    assert only_byte(changed) == (beat, channel * 8 * share + bit // 8, 1 << bit % 8)


@pytest.mark.parametrize("name", EVERY)
def test_beats_are_those_of_an_image_made_bit_by_bit(name):
    """A second packing, value by value, agrees where it stores the same inputs."""
    fmt, nm = name
    weights = random_weights(fmt, ODD, 3, 5, seed=3, nm=nm)
    weights = replace(weights, kept=np.sort(weights.kept, axis=2))
    matrix = stored(weights)
    assert (pack(matrix, ODD.channels, ODD.rows) == image(weights, ODD)).all()
    assert (matrix.integers() == weights.integers).all()


def stored(weights):
    """The same numbers, none of the kept ones 0."""
    fmt = weights.fmt
    if fmt.pattern.segments > 1:
        mask = np.zeros((len(weights.q), weights.q.shape[1] // 16, 16), bool)
        np.put_along_axis(mask, weights.kept, True, 2)
        weights.q[:] = np.where(mask.reshape(weights.q.shape) & (weights.q == 0), -1, weights.q)
    s = m = None
    if fmt.metas:
        s = weights.s.astype(np.uint8 if fmt.excess else np.int8)
        m = weights.m.astype(np.int8) if fmt.excess else None
    q = weights.q.astype(np.uint8 if fmt.excess else np.int8)
    return QuantizedMatrix(fmt.name, q.shape, q, weights.factors, s, m, fmt.pattern.name)


@settings(max_examples=60)
@given(
    st.sampled_from(["W4", "W3", "W2"]), st.integers(1, 40), st.integers(1, 300),
    st.integers(1, 4), st.integers(1, 5), st.data(),
)  # fmt: skip
def test_one_meta_and_scale_lie_where_the_contract_says(
    name, n_rows, inputs, channels, share, data
):
    rows, fmt = channels * share, FORMATS[name]
    matrix = zeros(name, n_rows, inputs)
    n = data.draw(st.integers(0, n_rows - 1))
    g = data.draw(st.integers(0, matrix.groups - 1))
    block, row = divmod(n, rows)
    channel, local = divmod(row, share)
    index = block * matrix.groups + g
    meta, _ = fmt.start(BeatKind.META, block, g, matrix.groups)
    byte = channel * 8 * share + index % 4 * 2 * share + local
    matrix.s[n, g] = 77
    assert only_byte(pack(matrix, channels, rows)) == (meta, byte, 77)
    matrix.s[n, g], matrix.m[n, g] = 0, -3
    assert only_byte(pack(matrix, channels, rows)) == (meta, byte + share, 253)
    matrix.m[n, g], matrix.c[n] = 0, 2.0
    byte = channel * 8 * share + (block % 4 * share + local) * 2
    beat, _ = fmt.start(BeatKind.SCALE, block, 0, matrix.groups)
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
