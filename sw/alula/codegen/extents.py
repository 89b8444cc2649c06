"""What each instruction needs of its operands, as it declares it.

Values are whole arrays, an entry for each way a program is run.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import reduce
from typing import Any

import numpy as np
from numpy.typing import NDArray

from alula.design import Design
from alula.isa import Op
from alula.isa.effects import BOUNDS, Limit, Range, Space, sizes
from alula.isa.formula import ARRAYS, numbers

Values = NDArray[np.int64]
Fields = dict[str, Any]
"""An instruction's fields: operands as `Values`, immediates and choices as they are."""


@dataclass(frozen=True)
class Extent:
    """Something that an instruction needs: `value` must be `least` to `most`."""

    what: str
    value: Values | int
    most: Values | int
    least: Values | int = 0


class Extents:
    """The extents of instructions on a design."""

    def __init__(self, design: Design) -> None:
        self._known = sizes(design) | ARRAYS
        self._streamed: list[tuple[str, str, Any, Any]] = []

    def of(self, op: Op, fields: Fields) -> Iterator[Extent]:
        """Everything that an instruction needs, in program order: products take what is streamed.

        An entry that does nothing (a count of zero) needs nothing but the limits of its counts.
        """
        effects, known = op.instruction.effects, self._known | numbers(fields)
        for limit in effects.limits:
            yield _limited(limit, known)
        busy = reduce(np.logical_and, (fields[name] for name in op.instruction.counts), True)
        for one in dict.fromkeys((*effects.reads, *effects.writes)):
            if one.space in BOUNDS:
                yield _within(one, known, busy)
        if any(one.space is Space.STREAM for one in effects.writes):
            self._streamed.append((fields["fmt"], fields["nm"], fields["blocks"], fields["groups"]))
        if any(one.space is Space.STREAM for one in effects.reads):
            yield from self._taken(known, **fields)

    def _taken(
        self, known: Mapping[str, Any], *, fmt: str, nm: str, outputs: Any, groups: Any, **_: Any
    ) -> Iterator[Extent]:
        """The head of the weight stream must be what a product wants."""
        *streamed, blocks, count = self._streamed.pop(0)
        assert streamed == [fmt, nm]
        wanted = -(-outputs // (known["P"] * known["R"]))
        yield Extent("outputs as streamed", blocks, wanted, wanted)
        yield Extent("groups as streamed", count, groups, groups)


def _within(one: Range, known: Mapping[str, Any], busy: Any) -> Extent:
    """A range must end where its space does."""
    end = one.first(known) + one.places(known)
    used = np.where(busy & (one.count(known) > 0), end, 0)
    place = BOUNDS[one.space].split(" of ")[-1]
    return Extent(f"{one.first} in {place}", used, one.limit(known))


def _limited(limit: Limit, known: Mapping[str, Any]) -> Extent:
    """A limit, kept wherever it does not hold."""
    value, what = limit.value(known), limit.label
    holds = limit.when(known) if limit.when else 1
    if limit.least:
        least = limit.least(known)
        return Extent(what, np.where(holds, value, least), np.iinfo(np.int64).max, least)
    if limit.most:
        most = limit.most(known)
        return Extent(what, np.where(holds, value, most), most)
    assert limit.multiple
    step = limit.multiple(known)
    rest = np.minimum(value % step, step % value) if limit.divides else value % step
    return Extent(f"{what} % ({limit.multiple})", np.where(holds, rest, 0), 0)
