"""Why the matrix engine stops."""

from amaranth.lib import enum

__all__ = ["Reason"]


class Reason(enum.Enum, shape=3):
    """Undefined behaviour and reserved formats."""

    NONE = 0
    FORMAT = 1
    STREAM = 2
    ROWS = 3
    OUTPUTS = 4
    OVERFLOW = 5
