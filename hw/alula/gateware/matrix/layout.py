"""What passes between the parts of the matrix engine."""

from amaranth.hdl import signed
from amaranth.lib import data

from alula.gateware.buffers.vector_buffer import address_bits
from alula.gateware.matrix.accumulator import SUM_BITS
from alula.gateware.matrix.output_stage import OUTPUT_BITS, info_layout
from alula.gateware.stream.weight_stream import MOST_SEGMENTS


def product_layout(*, tokens: int, words: int) -> data.StructLayout:
    """What results need to know of their product."""
    return data.StructLayout(
        {"mm": 1, "outputs": OUTPUT_BITS, "last_token": range(tokens)}
        | dict.fromkeys(("dst", "stride"), address_bits(words))
    )


def group_layout(*, rows: int, tokens: int, sparse: bool = False) -> data.StructLayout:
    """A group: its scales and mins of each row, or scales of each segment, and its activations'."""
    metas = MOST_SEGMENTS if sparse else 2
    return data.StructLayout(
        {
            "first": 1,
            "last": 1,
            "metas": data.ArrayLayout(data.ArrayLayout(8, rows), metas),
            "sum": data.ArrayLayout(signed(SUM_BITS), tokens),
            "factor": data.ArrayLayout(8, tokens),
        }
    )


def row_block_layout(*, rows: int, tokens: int, words: int, segments: int = 1) -> data.StructLayout:
    """What the output stage must know of a row block and pass, with the factors of its segments."""
    info = info_layout(rows=rows, tokens=tokens, words=words, segments=segments)
    factors = data.ArrayLayout(data.ArrayLayout(16, rows), segments)
    return data.StructLayout({"info": info, "factors": factors})
