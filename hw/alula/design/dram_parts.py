"""DRAM parts: how they are organised, and the timings of their speed bin.

Where a standard gives a timing in nanoseconds, it stands here in clocks, rounded up as JESD79-4
section 13.5 says.
"""

from dataclasses import dataclass

from alula.design.timings import Timings

__all__ = ["PARTS", "USUAL_PARTS", "DramPart"]


@dataclass(frozen=True)
class DramPart:
    """A part; of HBM one pseudo channel.

    Attributes:
        kind: as memory.kind.
        data_rate: transfers of each data pin, in MT/s.
        width: data pins.
        bus_bits: data pins of a usual channel.
        burst_length: transfers of one read or write (BL).
        bank_groups, banks, rows, columns: of the part, the banks of each group, the rows of each
            bank, the columns of each row.
        timings: all of them.
        transfers_per_clock: of each data pin; the clock is that of the commands.
    """

    kind: str
    data_rate: int
    width: int
    bus_bits: int
    burst_length: int
    bank_groups: int
    banks: int
    rows: int
    columns: int
    timings: Timings
    transfers_per_clock: int = 2

    @property
    def bits(self) -> int:
        """Size in bits."""
        return self.width * self.bank_groups * self.banks * self.rows * self.columns


# JESD79-4, speed bin DDR4-2400R (16-16-16). 8 Gb: tRFC1 350 ns, tREFI 7.8 us. tRRD and tFAW depend
# on the page: 1 KiB of x8, 2 KiB of x16.
_DDR4_2400R = {
    **{"CL": 16, "CWL": 12, "tRCD": 16, "tRP": 16, "tRAS": 39, "tRC": 55},
    **{"tCCD_S": 4, "tCCD_L": 6, "tWR": 18, "tWTR_S": 3, "tWTR_L": 9, "tRTP": 9},
    **{"tRFC": 420, "tREFI": 9360},
}
# JESD235, at 2 Gb/s a pin in pseudo channels of BL4, which leaves most timings to the vendor: they
# are those that DRAM simulators agree on, in ns: tRCD, tRP, CL 14, tRAS 34, tRC 48, tRRD 4 and 6,
# tFAW 16, tWR 16, tWTR 6 and 8, tRTP 5. tRFC is of all banks, by the size of the channel.
_HBM = {"tCCD_S": 2, "tCCD_L": 4}

PARTS = {
    # JESD79-3, DDR3-800D (5-5-5), tCK 2.5 ns. 4 Gb: tRFC 260 ns, tREFI 7.8 us. No bank groups.
    "ddr3-800d-4gb-x16": DramPart(
        "ddr3",
        data_rate=800,
        width=16,
        bus_bits=16,
        burst_length=8,
        bank_groups=1,
        banks=8,
        rows=1 << 15,
        columns=1024,
        timings=Timings(
            **{"CL": 5, "CWL": 5, "tRCD": 5, "tRP": 5, "tRAS": 15, "tRC": 20, "tFAW": 20},
            **{"tRRD_S": 4, "tRRD_L": 4, "tCCD_S": 4, "tCCD_L": 4, "tWR": 6, "tRTP": 4},
            **{"tWTR_S": 4, "tWTR_L": 4, "tRFC": 104, "tREFI": 3120},
        ),
    ),
    "ddr4-2400r-8gb-x8": DramPart(
        "ddr4",
        data_rate=2400,
        width=8,
        bus_bits=64,
        burst_length=8,
        bank_groups=4,
        banks=4,
        rows=1 << 16,
        columns=1024,
        timings=Timings(**_DDR4_2400R, tRRD_S=4, tRRD_L=6, tFAW=26),
    ),
    "ddr4-2400r-8gb-x16": DramPart(
        "ddr4",
        data_rate=2400,
        width=16,
        bus_bits=64,
        burst_length=8,
        bank_groups=2,
        banks=4,
        rows=1 << 16,
        columns=1024,
        timings=Timings(**_DDR4_2400R, tRRD_S=7, tRRD_L=8, tFAW=36),
    ),
    # JESD79-5, DDR5-4800B (40-39-39), tCK 0.416 ns. 16 Gb: tRFC1 295 ns, tREFI1 3.9 us.
    "ddr5-4800b-16gb-x8": DramPart(
        "ddr5",
        data_rate=4800,
        width=8,
        bus_bits=32,
        burst_length=16,
        bank_groups=8,
        banks=4,
        rows=1 << 16,
        columns=1024,
        timings=Timings(
            **{"CL": 40, "CWL": 38, "tRCD": 39, "tRP": 39, "tRAS": 77, "tRC": 116, "tFAW": 32},
            **{"tRRD_S": 8, "tRRD_L": 12, "tCCD_S": 8, "tCCD_L": 12, "tWR": 72, "tRTP": 18},
            **{"tWTR_S": 6, "tWTR_L": 24, "tRFC": 708, "tREFI": 9360},
        ),
    ),
    # JESD209-4, LPDDR4-3200, tCK 0.625 ns. 4 Gb a channel: tRFCab 180 ns, tREFI 3.904 us. tRP is
    # that of one bank. No bank groups.
    "lpddr4-3200-4gb-x16": DramPart(
        "lpddr4",
        data_rate=3200,
        width=16,
        bus_bits=16,
        burst_length=16,
        bank_groups=1,
        banks=8,
        rows=1 << 15,
        columns=1024,
        timings=Timings(
            **{"CL": 28, "CWL": 14, "tRCD": 29, "tRP": 29, "tRAS": 68, "tRC": 97, "tFAW": 64},
            **{"tRRD_S": 16, "tRRD_L": 16, "tCCD_S": 8, "tCCD_L": 8, "tWR": 29, "tRTP": 12},
            **{"tWTR_S": 16, "tWTR_L": 16, "tRFC": 288, "tREFI": 6246},
        ),
    ),
    # 900 MHz. A stack of 4 GB: channels of 4 Gb, tRFC 260 ns, tREFI 3.9 us.
    "hbm2-1800-2gb-x64": DramPart(
        "hbm2",
        data_rate=1800,
        width=64,
        bus_bits=64,
        burst_length=4,
        bank_groups=4,
        banks=4,
        rows=1 << 14,
        columns=128,
        timings=Timings(
            **{"CL": 13, "CWL": 5, "tRCD": 13, "tRP": 13, "tRAS": 31, "tRC": 44, "tFAW": 15},
            **{"tRRD_S": 4, "tRRD_L": 6, "tWR": 15, "tWTR_S": 6, "tWTR_L": 8, "tRTP": 5},
            **{**_HBM, "tRFC": 234, "tREFI": 3510},
        ),
    ),
    # 1600 MHz. A stack of 16 GB: channels of 16 Gb in two ranks, tRFC 350 ns, tREFI 3.9 us.
    "hbm2e-3200-4gb-x64": DramPart(
        "hbm2e",
        data_rate=3200,
        width=64,
        bus_bits=64,
        burst_length=4,
        bank_groups=4,
        banks=4,
        rows=1 << 15,
        columns=128,
        timings=Timings(
            **{"CL": 23, "CWL": 8, "tRCD": 23, "tRP": 23, "tRAS": 55, "tRC": 77, "tFAW": 26},
            **{"tRRD_S": 7, "tRRD_L": 10, "tWR": 26, "tWTR_S": 10, "tWTR_L": 13, "tRTP": 8},
            **{**_HBM, "tRFC": 560, "tREFI": 6240},
        ),
    ),
    # JESD238: pseudo channels of 32 pins and BL8, four transfers in a clock of 1600 MHz.
    "hbm3-6400-4gb-x32": DramPart(
        "hbm3",
        data_rate=6400,
        width=32,
        bus_bits=32,
        burst_length=8,
        bank_groups=4,
        banks=4,
        rows=1 << 15,
        columns=256,
        timings=Timings(
            **{"CL": 23, "CWL": 8, "tRCD": 23, "tRP": 23, "tRAS": 55, "tRC": 77, "tFAW": 26},
            **{"tRRD_S": 7, "tRRD_L": 10, "tWR": 26, "tWTR_S": 10, "tWTR_L": 13, "tRTP": 8},
            **{**_HBM, "tRFC": 560, "tREFI": 6240},
        ),
        transfers_per_clock=4,
    ),
}
"""Parts by name."""

USUAL_PARTS = {
    "ddr3": "ddr3-800d-4gb-x16",
    "ddr4": "ddr4-2400r-8gb-x16",
    "ddr5": "ddr5-4800b-16gb-x8",
    "lpddr4": "lpddr4-3200-4gb-x16",
    "hbm2": "hbm2-1800-2gb-x64",
    "hbm2e": "hbm2e-3200-4gb-x64",
    "hbm3": "hbm3-6400-4gb-x32",
}
"""The part of a design that names none, by memory.kind."""
