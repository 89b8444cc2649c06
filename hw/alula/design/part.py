"""The chip a design is for: what it has, and what its multipliers can do."""

from typing import Annotated

from pydantic import Field

from alula.chips import FamilyName
from alula.design.record import Record

Count = Annotated[int, Field(ge=0, le=100_000_000)]


class Part(Record):
    """The chip, as free text and as a resource budget."""

    name: Annotated[str, Field(min_length=1, max_length=100, pattern=r"^[ -~]+$")]
    """The chip or board, for people."""

    family: FamilyName
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
