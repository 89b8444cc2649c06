import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from alula.isa.formats import FORMATS
from alula.isa.kv import kv_places
from alula.quant import QuantizedMatrix, get_rows, pack, put_rows


class Layout:
    """A layer's K and V one after the other behind three foreign beats, each head behind a gap."""

    def __init__(self, channels, rows, heads, dim, context):
        blocks, groups = -(-context // rows), dim // 32
        key = FORMATS["W8"].beats(blocks, groups) + 1
        self.pitch = 4 * -(-context // 32)
        self.scales = self.pitch * -(-dim // rows)
        value = self.scales + -(-2 * context // (8 * rows)) + 2
        start = 3 + heads * key
        self.widths = 8 * rows, 8 * rows // channels
        self.heads = heads
        shape = {"heads": heads, "groups": groups}
        self.keys = shape | {"addr": 3, "stride": key}
        self.values = shape | {"addr": start, "stride": value}
        self.values |= {"pitch": self.pitch, "scales": self.scales}
        self.region = np.full((start + heads * value, 8 * rows), 0xA5, np.uint8)

    def places(self, fields, position, rows):
        return kv_places(*self.widths, position=position, rows=rows, **fields)

    def put(self, fields, position, rows, scales):
        put_rows(self.region, self.places(fields, position, len(rows)), rows, scales)

    def get(self, fields, position, rows):
        return get_rows(self.region, self.places(fields, position, rows), self.heads)


def rows_of(rng, tokens, heads, dim):
    numbers = rng.integers(-127, 128, (tokens, heads, dim)).astype(np.int8)
    scales = (rng.integers(0x80, 0x7F80, (tokens, heads)).astype(np.uint32) << 16).view(np.float32)
    return numbers, scales


@settings(max_examples=80)
@given(
    st.integers(1, 4),
    st.integers(1, 5),
    st.integers(1, 3),
    st.sampled_from([32, 64, 96]),
    st.integers(1, 70),
    st.data(),
)
def test_what_is_written_in_parts_is_read(channels, share, heads, dim, context, data):
    rows = channels * share
    layout = Layout(channels, rows, heads, dim, context)
    rng = np.random.default_rng(0)
    keys, values = rows_of(rng, context, heads, dim), rows_of(rng, context, heads, dim)
    cut = data.draw(st.integers(0, context))
    for part in (slice(0, cut), slice(cut, context)):
        layout.put(layout.keys, part.start, keys[0][part], keys[1][part])
        layout.put(layout.values, part.start, values[0][part], values[1][part])
    for found, wanted in (
        (layout.get(layout.keys, 0, context), keys),
        (layout.get(layout.values, 0, context), values),
        (layout.get(layout.keys, cut, context - cut), [part[cut:] for part in keys]),
        (layout.get(layout.values, cut, context - cut), [part[cut:] for part in values]),
    ):
        assert all((one == other).all() for one, other in zip(found, wanted, strict=True))
    assert (layout.region[:3] == 0xA5).all()


@settings(max_examples=40)
@given(st.integers(1, 3), st.integers(1, 5), st.sampled_from([32, 64]), st.integers(1, 60))
def test_memory_holds_packed_matrices(channels, share, dim, context):
    """K is a packed W8 matrix of positions; each row block of V a packed V8 matrix of its own."""
    rows, heads = channels * share, 2
    layout = Layout(channels, rows, heads, dim, context)
    region = layout.region
    region[:] = 0
    rng = np.random.default_rng(1)
    keys, values = rows_of(rng, context, heads, dim), rows_of(rng, context, heads, dim)
    layout.put(layout.keys, 0, *keys)
    layout.put(layout.values, 0, *values)
    for head in range(heads):
        key = QuantizedMatrix(
            "W8", (context, dim), keys[0][:, head].copy(), keys[1][:, head].copy()
        )
        packed = pack(key, channels, rows)
        first = layout.keys["addr"] + head * layout.keys["stride"]
        assert (region[first : first + len(packed)] == packed).all()
        first = layout.values["addr"] + head * layout.values["stride"]
        transposed = np.zeros((-(-dim // rows) * rows, layout.pitch * 8), np.int8)
        transposed[:dim, :context] = values[0][:, head].T
        for block in range(-(-dim // rows)):
            part = transposed[block * rows : (block + 1) * rows]
            ones = np.ones(rows, np.float32)
            packed = pack(QuantizedMatrix("V8", part.shape, part, ones), channels, rows)
            start = first + block * layout.pitch
            assert (region[start : start + layout.pitch] == packed).all()
        flat = region[first + layout.scales :].reshape(-1).view("<u2")[:context]
        assert (flat == values[1][:, head].view(np.uint32) >> 16).all()


def test_by_hand():
    """R = 8, one channel, head_dim 64: position 9 of head 1 is row 1 of row block 1."""
    shape = {"heads": 2, "rows": 1, "groups": 2}
    region = np.zeros((500, 64), np.uint8)
    numbers, scales = np.zeros((1, 2, 64), np.int8), np.zeros((1, 2), np.float32)
    numbers[0, 1, 33], scales[0, 1] = 7, 2.0
    put_rows(region, kv_places(64, 64, addr=10, stride=100, position=9, **shape), numbers, scales)
    # Scale beat, block 0 (8 beats), group 0 of block 1 (4 beats), then row 1's 16 bytes.
    assert region[110 + 1 + 8 + 4, 16 + 1] == 7
    assert region[110, (8 + 1) * 2 + 1] == 0x40
    assert np.count_nonzero(region) == 2
    region[:] = 0
    places = kv_places(64, 64, addr=300, stride=50, position=17, pitch=4, scales=40, **shape)
    put_rows(region, places, numbers, scales)
    # Element 33 is row 1 of row block 4; position 17 the second block of its group.
    assert region[350 + 4 * 4 + 2, 16 + 1] == 7
    assert region[350 + 40, 17 * 2 + 1] == 0x40
    assert np.count_nonzero(region) == 2


def test_refusals():
    layout = Layout(1, 8, 1, 32, 16)
    places = layout.places(layout.keys, 0, 1)
    numbers, scales = np.zeros((1, 1, 32), np.int8), np.zeros((1, 1), np.float32)
    with pytest.raises(ValueError, match=r"rows must be int8 of 1 times 32, not int8 \(1, 1, 31\)"):
        put_rows(layout.region, places, numbers[..., :31], scales)
    with pytest.raises(ValueError, match=r"scales must be float32 \(1, 1\), not float64 \(1, 1\)"):
        put_rows(layout.region, places, numbers, scales.astype(np.float64))
    for position in (-1000, 10000):
        with pytest.raises(ValueError, match="region must have beats"):
            layout.put(layout.keys, position, numbers, scales)
    with pytest.raises(ValueError, match="region must be contiguous beats of uint8"):
        get_rows(layout.region[:, ::2], places, 1)
