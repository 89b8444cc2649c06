"""Why the matrix engine stops."""

from amaranth.lib import data, enum

from alula.gateware.control.fault import Code

NUMBER_BITS = 24
"""More than enough for an address of a buffer."""


class ProductReason(enum.Enum, shape=8):
    """What is wrong with a product, and the number that says how far."""

    NONE = 0
    FORMAT = 1  # reserved, or not of this machine
    STREAM = 2  # format or groups are not those of the stream's head
    ROWS = 3  # none, or too many for MV
    OUTPUTS = 4  # do not end in the last row block of the stream's head
    OVERFLOW = 5  # of an accumulator
    SRC = 6  # beyond the activation buffer; number: the last group
    DST = 7  # beyond the vector buffer; number: the last word
    REPLAY = 8  # a row block that several passes need and the stream cannot hold; number: groups


CODES = {
    ProductReason.FORMAT: Code.UNSUPPORTED,
    ProductReason.STREAM: Code.UNDEFINED,
    ProductReason.ROWS: Code.UNDEFINED,
    ProductReason.OUTPUTS: Code.UNDEFINED,
    ProductReason.OVERFLOW: Code.UNDEFINED,
    ProductReason.SRC: Code.OUT_OF_RANGE,
    ProductReason.DST: Code.OUT_OF_RANGE,
    ProductReason.REPLAY: Code.OUT_OF_RANGE,
}
"""Whose turn it is to act."""
DETAIL = data.StructLayout({"reason": ProductReason, "number": NUMBER_BITS})
"""Detail of a fault of MM or MV. A number that does not fit is all ones."""
