"""The timings of a DRAM, by their JEDEC names."""

from typing import Annotated

from pydantic import Field

from alula.design.record import Record

Clocks = Annotated[int, Field(ge=1, le=1 << 20)]


class Timings(Record):
    """Timings in DRAM clocks (nCK); those left out are the part's."""

    CL: Clocks | None = None
    """Read command to its first data."""

    CWL: Clocks | None = None
    """Write command to its first data."""

    tRCD: Clocks | None = None
    """Activation of a row to a read or write in it."""

    tRP: Clocks | None = None
    """Precharge of a bank to its next activation."""

    tRAS: Clocks | None = None
    """Activation of a row to the precharge of its bank."""

    tRC: Clocks | None = None
    """Activation to activation of one bank."""

    tRRD_S: Clocks | None = None
    """Activation to activation in another bank group."""

    tRRD_L: Clocks | None = None
    """Activation to activation in the same bank group."""

    tCCD_S: Clocks | None = None
    """Read to read, or write to write, in another bank group."""

    tCCD_L: Clocks | None = None
    """Read to read, or write to write, in the same bank group."""

    tFAW: Clocks | None = None
    """Window in which a rank has at most four activations."""

    tWR: Clocks | None = None
    """Last data of a write to the precharge of its bank."""

    tWTR_S: Clocks | None = None
    """Last data of a write to a read in another bank group."""

    tWTR_L: Clocks | None = None
    """Last data of a write to a read in the same bank group."""

    tRTP: Clocks | None = None
    """Read to the precharge of its bank."""

    tRFC: Clocks | None = None
    """Refresh of all banks of a rank to the next command for it."""

    tREFI: Clocks | None = None
    """Mean time between two refreshes of a rank."""
