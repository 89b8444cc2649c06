"""The DRAM behind a memory channel: parts, order of address bits, timings."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated

from pydantic import Field

from alula.design.dram_parts import PARTS, USUAL_PARTS, DramPart
from alula.design.error import listed
from alula.design.record import Record
from alula.design.timings import Timings

FIELDS = ("row", "rank", "bank", "bankgroup", "column")
"""What the bits of an address choose."""
MAX_SLICES = 8
"""Pieces of an address that `mapping` may name."""


class Dram(Record):
    """The DRAM of a channel. It decides when a program is done and nothing that it computes."""

    part: Annotated[str, Field(max_length=40, json_schema_extra={"examples": [*PARTS]})] | None = (
        None
    )
    """The part that, side by side, makes a rank; none: a usual one of memory.kind."""

    bus_bits: Annotated[int, Field(ge=8, le=256, multiple_of=8)] | None = None
    """Data pins of a channel; none: what is usual for the part."""

    ranks: Annotated[int, Field(ge=1, le=4)] = 1
    """Ranks on the bus of a channel; of HBM the stack identities."""

    mapping: Annotated[str, Field(max_length=100)] = "row rank bank column bankgroup"
    """What the bits of an address choose, from the highest: row, rank, bank, bankgroup and column.

    A field in several places has its number of bits in the lower ones, as in "column:2".
    """

    hashed: bool = True
    """Whether bank and bank group are XORed with the lowest bits of the row."""

    latency_cycles: Annotated[int, Field(ge=0, le=1000)] = 20
    """Core cycles of a read beside the DRAM's own: ports, interconnect and controller."""

    timings: Timings = Timings()
    """Timings that differ from the part's."""

    def channel(self, kind: str) -> "DramChannel":
        """Return the DRAM of a channel, everything decided; for a design that is possible."""
        part = PARTS[self.part or USUAL_PARTS[kind]]
        changes = self.timings.model_dump(exclude_none=True)
        return DramChannel(
            part=part,
            bus_bits=self.bus_bits or part.bus_bits,
            ranks=self.ranks,
            mapping=_slices(self.mapping, _sizes(part, self.ranks)),
            hashed=self.hashed,
            latency_cycles=self.latency_cycles,
            timings=part.timings.model_dump() | changes,
        )

    def impossibilities(self, kind: str) -> Iterator[tuple[str, str, str]]:
        """Yield (key, what it must be, what it is) for each rule that spans several fields."""
        fitting = [name for name, part in PARTS.items() if part.kind == kind]
        if self.part is not None and self.part not in fitting:
            yield "part", f"{listed(fitting)} (memory.kind)", repr(self.part)
            return
        part = PARTS[self.part or USUAL_PARTS[kind]]
        if self.bus_bits is not None and self.bus_bits % part.width:
            yield "bus_bits", f"a multiple of {part.width} (part)", str(self.bus_bits)
        if self.ranks & self.ranks - 1:
            yield "ranks", "1, 2 or 4", str(self.ranks)
        elif not _slices(self.mapping, _sizes(part, self.ranks)):
            order = "row and, in any order, rank, bank, bankgroup and column"
            yield "mapping", order, repr(self.mapping)
        else:
            channel = self.channel(kind)
            timings = channel.timings
            if timings["tCCD_S"] < channel.burst_clocks:
                least = f"at least {channel.burst_clocks} (the clocks of a burst)"
                yield "timings.tCCD_S", least, str(timings["tCCD_S"])
            busy = sum(timings[name] for name in ("tRFC", "tRC", "tWR", "CWL"))
            if timings["tREFI"] <= busy:
                least = f"more than {busy} (tRFC + tRC + tWR + CWL)"
                yield "timings.tREFI", least, str(timings["tREFI"])


@dataclass(frozen=True)
class DramChannel:
    """The DRAM of one channel.

    Attributes:
        part: of which `bus_bits / part.width` make a rank.
        bus_bits: data pins.
        ranks: on the bus.
        mapping: (field, bits) of an access's number from its lowest bit; the row is what is left.
        hashed: bank and bank group are XORed with the lowest bits of the row.
        latency_cycles: core cycles of a read beside the DRAM's own.
        timings: in DRAM clocks, by name.
    """

    part: DramPart
    bus_bits: int
    ranks: int
    mapping: tuple[tuple[str, int], ...]
    hashed: bool
    latency_cycles: int
    timings: dict[str, int]

    @property
    def access_bytes(self) -> int:
        """Bytes of one burst."""
        return self.bus_bits // 8 * self.part.burst_length

    @property
    def burst_clocks(self) -> int:
        """Clocks that a burst's data takes on the bus."""
        return self.part.burst_length // self.part.transfers_per_clock

    @property
    def bytes_per_second(self) -> int:
        """Peak of the bus."""
        return self.part.data_rate * 1_000_000 * self.bus_bits // 8

    @property
    def clock_hz(self) -> int:
        """DRAM clocks in a second; one takes tCK."""
        return self.part.data_rate * 1_000_000 // self.part.transfers_per_clock

    @property
    def capacity_bytes(self) -> int:
        """Size of all ranks."""
        return self.ranks * (self.bus_bits // self.part.width) * self.part.bits // 8


def _sizes(part: DramPart, ranks: int) -> dict[str, int]:
    """Bits of each field but the row, as far as they choose a burst."""
    counts = {
        "rank": ranks,
        "bank": part.banks,
        "bankgroup": part.bank_groups,
        "column": part.columns // part.burst_length,
    }
    return {name: (count - 1).bit_length() for name, count in counts.items()}


def _slices(mapping: str, sizes: dict[str, int]) -> tuple[tuple[str, int], ...]:
    """Return (field, bits) from the lowest bit up, row left out; nothing for a mapping in error."""
    first, *words = mapping.split() or [""]
    left = dict(sizes)
    slices = []
    for word in reversed(words):
        name, _, bits = word.partition(":")
        if name not in left or not (bits.isdecimal() or word == name):
            return ()
        taken = int(bits) if bits else left.pop(name)
        slices.append((name, taken))
        if bits:
            left[name] -= taken
    if first != "row" or left or len(slices) > MAX_SLICES or min(n for _, n in slices) < 0:
        return ()
    return tuple(slices)
