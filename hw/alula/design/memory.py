"""The external memory as the accelerator sees it."""

from typing import Annotated, Literal

from pydantic import Field

from alula.design.dram import Dram, DramChannel
from alula.design.record import Record, Whole


class Memory(Record):
    """External memory: independent channels of equal width and size."""

    kind: Literal["ddr3", "ddr4", "ddr5", "lpddr4", "hbm2", "hbm2e", "hbm3"]
    """The memory's kind."""

    channels: Annotated[int, Field(ge=1, le=256)]
    """Channels in all; each core owns channels // cores of them."""

    beat_bytes: Annotated[Literal[8, 16, 32, 64, 128], Whole]
    """Bytes that one channel moves in one cycle of the core clock; AXI has no wider port."""

    capacity_mib: Annotated[int, Field(ge=1, le=1 << 20)]
    """Size of the whole memory in MiB, shared evenly by the channels."""

    dram: Dram = Dram()
    """The DRAM of each channel: what the simulated memory's timing is made of."""

    @property
    def channel(self) -> DramChannel:
        """The DRAM of a channel, everything decided."""
        return self.dram.channel(self.kind)
