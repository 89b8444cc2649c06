"""The chip a design is for: what it has, and what its multipliers can do."""

from dataclasses import dataclass
from typing import Annotated, Literal

from pydantic import Field

from alula.design.record import Record

Count = Annotated[int, Field(ge=0, le=100_000_000)]


@dataclass(frozen=True)
class Family:
    """What one DSP block of a chip family does.

    Attributes:
        dsp: the block's name.
        int8_macs: INT8 products that one block makes a cycle.
        rescale_dsps: blocks that multiply a group's dot product by its 8-bit scale.
        fp32_multiply_dsps: blocks of one fp32 multiplier.
    """

    dsp: str
    int8_macs: int
    rescale_dsps: int
    fp32_multiply_dsps: int


# MULT18X18D is too narrow for two packed products, DSP58 has an fp32 multiplier of its own.
FAMILIES = {
    "ultrascale+": Family("DSP48E2", int8_macs=2, rescale_dsps=1, fp32_multiply_dsps=2),
    "versal": Family("DSP58", int8_macs=2, rescale_dsps=1, fp32_multiply_dsps=1),
    "ecp5": Family("MULT18X18D", int8_macs=1, rescale_dsps=2, fp32_multiply_dsps=4),
}


class Part(Record):
    """The chip, as free text and as a resource budget."""

    name: Annotated[str, Field(min_length=1, max_length=100)]
    """The chip or board, for people."""

    family: Literal["ultrascale+", "versal", "ecp5"]
    """The chip family; it decides what a DSP block can do."""

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
