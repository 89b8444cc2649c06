"""What passes between the parts of the matrix engine."""

from amaranth.hdl import signed
from amaranth.lib import data

from alula.gateware.buffers.vector_buffer import address_bits
from alula.gateware.matrix.accumulator import SUM_BITS
from alula.gateware.matrix.output_stage import OUTPUT_BITS, info_layout
from alula.gateware.matrix.sizes import MatrixSizes


def product_layout(sizes: MatrixSizes) -> data.StructLayout:
    """What results need to know of their product."""
    return data.StructLayout(
        {"mm": 1, "outputs": OUTPUT_BITS, "last_token": range(sizes.tokens)}
        | dict.fromkeys(("dst", "stride"), address_bits(sizes.words))
    )


def group_layout(sizes: MatrixSizes) -> data.StructLayout:
    """A group: its scales and mins of each row, or scales of each segment, and its activations'."""
    metas = sizes.segments if sizes.sparse else 2
    return data.StructLayout(
        {
            "first": 1,
            "last": 1,
            "metas": data.ArrayLayout(data.ArrayLayout(8, sizes.rows), metas),
            "sum": data.ArrayLayout(signed(SUM_BITS), sizes.tokens),
            "factor": data.ArrayLayout(8, sizes.tokens),
        }
    )


def row_block_layout(sizes: MatrixSizes) -> data.StructLayout:
    """What the output stage must know of a row block and pass, with the factors of its segments."""
    factors = data.ArrayLayout(data.ArrayLayout(16, sizes.rows), sizes.segments)
    return data.StructLayout({"info": info_layout(sizes), "factors": factors})
