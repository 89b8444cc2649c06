"""What the SFU exchanges with the buffers."""

from amaranth.hdl import signed
from amaranth.lib import stream
from amaranth.lib.data import ArrayLayout, StructLayout
from amaranth.lib.wiring import In, Out, Signature
from amaranth.utils import ceil_log2

from alula.design.engines import MOST_GROUPS, MOST_STAGING_KIB, MOST_WORDS
from alula.gateware.buffers.staging_buffer import rows

VECTOR_ADDRESS = ceil_log2(MOST_WORDS)
GROUP_ADDRESS = ceil_log2(MOST_GROUPS)
STAGING_ADDRESS = ceil_log2(rows(1024 * MOST_STAGING_KIB))
_SLOT = 8
_HALF = 5


def word(lanes: int) -> ArrayLayout:
    """A vector buffer word."""
    return ArrayLayout(32, lanes)


def vector_read(lanes: int) -> Signature:
    """Reads of the vector buffer: addresses out, words in, in order, taken as they come.

    A word read sees every write that was transferred in an earlier cycle than its address.
    """
    return Signature(
        {
            "request": Out(stream.Signature(VECTOR_ADDRESS)),
            "data": In(stream.Signature(word(lanes), always_ready=True)),
        }
    )


def vector_write(lanes: int) -> stream.Signature:
    """Writes of whole words; `mask` chooses lanes."""
    return stream.Signature(
        StructLayout({"address": VECTOR_ADDRESS, "data": word(lanes), "mask": lanes})
    )


def activation_write() -> stream.Signature:
    """16 values of a group of one row; `side` counts with half 1."""
    return stream.Signature(
        StructLayout(
            {
                "group": GROUP_ADDRESS,
                "slot": _SLOT,
                "half": 1,
                "data": ArrayLayout(signed(8), 16),
                "side": StructLayout({"scale": 8, "sum": signed(14), "exponent": signed(10)}),
            }
        )
    )


def staging_write() -> stream.Signature:
    """16 values of a row of `groups` groups; `scale`, bf16, counts with half 0."""
    return stream.Signature(
        StructLayout(
            {
                "row": STAGING_ADDRESS,
                "half": _HALF,
                "groups": 4,
                "data": ArrayLayout(signed(8), 16),
                "scale": 16,
            }
        )
    )
