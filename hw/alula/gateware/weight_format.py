"""Weight formats as they come from the stream, by the code that instructions give them.

W2 and W3 are W4 with fewer bits: a value is stored with an excess of half its range, and groups
have scales and mins. Programs may not use them yet.
"""

from collections.abc import Callable
from dataclasses import dataclass

from amaranth import Module, Signal, Value

from alula.isa.formats import FORMATS
from alula.isa.instructions import BY_NAME, Choice

__all__ = ["BEAT", "CODES", "FORMAT_BITS", "StreamFormat", "by_format"]

BEAT = 4
"""A place in the stream counts quarters of a beat: a block of n-bit values takes n of them, a
group's scales and mins one, a row block's factors one."""


@dataclass(frozen=True)
class StreamFormat:
    """A format: `bits` of a value, whether rows have `scales` and groups `metas`."""

    code: int
    bits: int
    scales: bool
    metas: bool

    @property
    def excess(self) -> int:
        """What is subtracted from a stored value; 0: it is signed."""
        return 1 << self.bits - 1 if self.metas else 0


def _formats() -> dict[str, StreamFormat]:
    field = BY_NAME["MM"].field("fmt")
    assert isinstance(field, Choice)
    found = {}
    for code, name in enumerate(field.choices):
        if name in FORMATS:
            known = FORMATS[name]
            found[name] = StreamFormat(code, known.bits, known.scales, known.metas)
        elif name:
            found[name] = StreamFormat(code, int(name[1:]), scales=True, metas=True)
    return found


CODES = _formats()
"""All formats, by name."""
FORMAT_BITS = BY_NAME["MM"].field("fmt").width


def by_format(
    m: Module, code: Value, choose: Callable[[StreamFormat], int], *, name: str
) -> Signal:
    """Return a signal that follows the format: 0 for codes that are none."""
    values = {item.code: int(choose(item)) for item in CODES.values()}
    chosen = Signal(range(max(values.values()) + 1), name=name)
    with m.Switch(code):
        for number, value in values.items():
            with m.Case(number):
                m.d.comb += chosen.eq(value)
    return chosen
