import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from alula.isa.formats import FORMATS
from alula.quant import KvLayerLayout, QuantizedMatrix, pack, pack_k, pack_v, unpack_k, unpack_v


def layout(channels, rows, heads, dim, context):
    """A layer's K and V one after the other behind three foreign beats, each head behind a gap."""
    blocks, groups = -(-context // rows), -(-dim // 32)
    key = FORMATS["W8"].beats(blocks, groups) + 1
    pitch = 4 * -(-context // 32)
    scales = pitch * -(-dim // rows)
    value = scales + -(-2 * context // (8 * rows)) + 2
    start = 3 + heads * key
    place = KvLayerLayout(channels, heads, dim, 3, key, start, value, pitch, scales)
    return place, np.full((start + heads * value, 8 * rows), 0xA5, np.uint8)


def rows_of(rng, tokens, heads, dim):
    numbers = rng.integers(-127, 128, (tokens, heads, dim)).astype(np.int8)
    scales = (rng.integers(0x80, 0x7F80, (tokens, heads)).astype(np.uint32) << 16).view(np.float32)
    return numbers, scales


@settings(deadline=None, max_examples=80)
@given(
    st.integers(1, 4),
    st.integers(1, 5),
    st.integers(1, 3),
    st.sampled_from([8, 32, 48, 64]),
    st.integers(1, 70),
    st.data(),
)
def test_what_is_written_in_parts_is_read(channels, share, heads, dim, context, data):
    rows = channels * share
    place, region = layout(channels, rows, heads, dim, context)
    rng = np.random.default_rng(0)
    keys, values = rows_of(rng, context, heads, dim), rows_of(rng, context, heads, dim)
    cut = data.draw(st.integers(0, context))
    for part in (slice(0, cut), slice(cut, context)):
        pack_k(region, place, part.start, keys[0][part], keys[1][part])
        pack_v(region, place, part.start, values[0][part], values[1][part])
    for found, wanted in (
        (unpack_k(region, place, 0, context), keys),
        (unpack_v(region, place, 0, context), values),
        (unpack_k(region, place, cut, context - cut), [part[cut:] for part in keys]),
        (unpack_v(region, place, cut, context - cut), [part[cut:] for part in values]),
    ):
        assert all((one == other).all() for one, other in zip(found, wanted, strict=True))
    assert (region[:3] == 0xA5).all()


@settings(deadline=None, max_examples=40)
@given(st.integers(1, 3), st.integers(1, 5), st.sampled_from([32, 64]), st.integers(1, 60))
def test_memory_holds_packed_matrices(channels, share, dim, context):
    """K is a packed W8 matrix of positions; each row block of V a packed V8 matrix of its own."""
    rows, heads = channels * share, 2
    place, region = layout(channels, rows, heads, dim, context)
    region[:] = 0
    rng = np.random.default_rng(1)
    keys, values = rows_of(rng, context, heads, dim), rows_of(rng, context, heads, dim)
    pack_k(region, place, 0, *keys)
    pack_v(region, place, 0, *values)
    for head in range(heads):
        key = QuantizedMatrix(
            "W8", (context, dim), keys[0][:, head].copy(), keys[1][:, head].copy()
        )
        packed = pack(key, channels, rows)
        first = place.key + head * place.key_stride
        assert (region[first : first + len(packed)] == packed).all()
        first = place.value + head * place.value_stride
        transposed = np.zeros((-(-dim // rows) * rows, place.pitch * 8), np.int8)
        transposed[:dim, :context] = values[0][:, head].T
        for block in range(-(-dim // rows)):
            part = transposed[block * rows : (block + 1) * rows]
            ones = np.ones(rows, np.float32)
            packed = pack(QuantizedMatrix("V8", part.shape, part, ones), channels, rows)
            start = first + block * place.pitch
            assert (region[start : start + place.pitch] == packed).all()
        flat = region[first + place.scales :].reshape(-1).view("<u2")[:context]
        assert (flat == values[1][:, head].view(np.uint32) >> 16).all()


def test_by_hand():
    """R = 8, one channel, head_dim 64: position 9 of head 1 is row 1 of row block 1."""
    place = KvLayerLayout(
        1, 2, 64, key=10, key_stride=100, value=300, value_stride=50, pitch=4, scales=40
    )
    region = np.zeros((500, 64), np.uint8)
    numbers, scales = np.zeros((1, 2, 64), np.int8), np.zeros((1, 2), np.float32)
    numbers[0, 1, 33], scales[0, 1] = 7, 2.0
    pack_k(region, place, 9, numbers, scales)
    # Scale beat, block 0 (8 beats), group 0 of block 1 (4 beats), then row 1's 16 bytes.
    assert region[110 + 1 + 8 + 4, 16 + 1] == 7
    assert region[110, (8 + 1) * 2 + 1] == 0x40
    assert np.count_nonzero(region) == 2
    region[:] = 0
    pack_v(region, place, 17, numbers, scales)
    # Element 33 is row 1 of row block 4; position 17 the second block of its group.
    assert region[350 + 4 * 4 + 2, 16 + 1] == 7
    assert region[350 + 40, 17 * 2 + 1] == 0x40
    assert np.count_nonzero(region) == 2


def test_refusals():
    place, region = layout(1, 8, 1, 32, 16)
    numbers, scales = np.zeros((1, 1, 32), np.int8), np.zeros((1, 1), np.float32)
    with pytest.raises(ValueError, match=r"rows must be int8 \(1, 1, 32\), not int8 \(1, 1, 31\)"):
        pack_k(region, place, 0, numbers[..., :31], scales)
    with pytest.raises(ValueError, match=r"scales must be float32 \(1, 1\), not float64 \(1, 1\)"):
        pack_v(region, place, 0, numbers, scales.astype(np.float64))
    with pytest.raises(ValueError, match="position must not be negative, not -1"):
        pack_k(region, place, -1, numbers, scales)
    with pytest.raises(ValueError, match="region must have beat"):
        pack_k(region, place, 10000, numbers, scales)
    with pytest.raises(ValueError, match="region must be contiguous beats of uint8"):
        unpack_k(region[:, ::2], place, 0, 1)
