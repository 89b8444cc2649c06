"""The chip a design is for: what it has, and what its multipliers can do."""

from dataclasses import dataclass, replace
from typing import Annotated, Literal

from pydantic import Field

from alula.design.record import Record

Count = Annotated[int, Field(ge=0, le=100_000_000)]


@dataclass(frozen=True)
class Family:
    """What one DSP block of a chip family does, and how many the units of a core take.

    The counts are those of the gateware as synthesised (`alula synth`).

    Attributes:
        dsp: the block's name.
        int8_macs: INT8 products that one block makes a cycle.
        accumulator_dsps: blocks that scale and accumulate the groups of one chain and token.
        finish_dsps: blocks of a lane that finishes results: an fp32 multiplier.
        lane_dsps: blocks of an SFU lane: two fp32 multipliers and that of a table.
        scalar_dsps: blocks of what an SFU has once: an fp32 multiplier, a table, an address.
        address_dsps: blocks in a core's LD, ST and staging buffer.
        sequencer_dsps: blocks of the sequencer, which all cores share.
    """

    dsp: str
    int8_macs: int
    accumulator_dsps: int
    finish_dsps: int
    lane_dsps: int
    scalar_dsps: int
    address_dsps: int
    sequencer_dsps: int


_ULTRASCALE = Family(
    "DSP48E2",
    int8_macs=2,
    accumulator_dsps=2,
    finish_dsps=2,
    lane_dsps=5,
    scalar_dsps=4,
    address_dsps=12,
    sequencer_dsps=3,
)
# MULT18X18D is too narrow for two packed products. A DSP58 stands in for a DSP48E2.
FAMILIES = {
    "ultrascale+": _ULTRASCALE,
    "versal": replace(_ULTRASCALE, dsp="DSP58"),
    "ecp5": Family(
        "MULT18X18D",
        int8_macs=1,
        accumulator_dsps=4,
        finish_dsps=4,
        lane_dsps=9,
        scalar_dsps=6,
        address_dsps=14,
        sequencer_dsps=4,
    ),
}


class Part(Record):
    """The chip, as free text and as a resource budget."""

    name: Annotated[str, Field(min_length=1, max_length=100, pattern=r"^[ -~]+$")]
    """The chip or board, for people."""

    family: Literal["ultrascale+", "versal", "ecp5"]
    """The chip family; it decides what a DSP block can do."""

    number: Annotated[str, Field(pattern=r"^[A-Za-z0-9-]{1,40}$")] | None = None
    """Order number of the chip for the vendor's tools; `alula export` and `--place` need it."""

    lut: Count
    """Look-up tables (6-input; 4-input on ecp5)."""

    ff: Count
    """Flip-flops."""

    dsp: Count
    """DSP blocks: DSP48E2, DSP58 or MULT18X18D."""

    bram36: Count
    """Block RAMs of 36 Kbit; two 18 Kbit blocks count as one."""

    uram: Count
    """UltraRAMs of 288 Kbit."""

    slrs: Annotated[int, Field(ge=1, le=16)] = 1
    """Super logic regions, the dies that the chip is made of; cores are dealt out to them."""
