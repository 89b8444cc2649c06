"""Weight formats as they come from the stream, by a code: an instruction's `fmt` and `nm`."""

from collections.abc import Callable

from amaranth.hdl import Module, Signal, Value

from alula.isa.formats import DENSE, FORMATS, PATTERNS, WEIGHT_FORMATS, WeightFormat
from alula.isa.instructions import BY_NAME

FMT_BITS = BY_NAME["MM"].field("fmt").width
FORMAT_BITS = FMT_BITS + BY_NAME["MM"].field("nm").width
ROW_BITS = 64
"""Bits of a row in a beat."""


def channel_rows(rows: int, channels: int) -> int:
    """Rows of a block that one memory channel packs. ValueError if channels differ in them."""
    if channels < 1:
        raise ValueError(f"channels must be at least 1, not {channels}")
    if rows < 1 or rows % channels:
        raise ValueError(f"rows must be a multiple of channels ({channels}), not {rows}")
    return rows // channels


def code(fmt: str, nm: str = DENSE.name) -> int:
    """Return the code of a format."""
    return list(FORMATS).index(fmt) | list(PATTERNS).index(nm) << FMT_BITS


def formats(*, sparse: bool) -> dict[int, WeightFormat]:
    """Return the formats of a machine with or without sparse MUXes, by code."""
    found = {code(fmt, nm): item for (fmt, nm), item in WEIGHT_FORMATS.items()}
    return {key: item for key, item in found.items() if sparse or item.pattern is DENSE}


def by_format(
    m: Module,
    chosen: Value,
    choose: Callable[[WeightFormat], int],
    *,
    name: str,
    sparse: bool = False,
) -> Signal:
    """Return a signal that follows a format's code: 0 for codes that are none."""
    codes: dict[int, list[int]] = {}
    for number, item in formats(sparse=sparse).items():
        codes.setdefault(int(choose(item)), []).append(number)
    result = Signal(range(max(2, max(codes) + 1)), name=name)
    with m.Switch(chosen):
        for value, numbers in codes.items():
            with m.Case(*numbers):
                m.d.comb += result.eq(value)
    return result


def segments_power(item: WeightFormat) -> int:
    """Return log2 of the rows of a chain."""
    return item.pattern.segments.bit_length() - 1
