"""DRAM parts: how they are organised, and the timings of their speed bin.

Timings that a standard gives in nanoseconds are here in clocks, rounded up as JESD79-4
section 13.5 says.
"""

from dataclasses import dataclass

from alula.design.timings import Timings


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
        transfers_per_clock: of each data pin; the clock is that of the commands.
        timings: all of them.
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
    transfers_per_clock: int
    timings: Timings

    @property
    def bits(self) -> int:
        """Size in bits."""
        return self.width * self.bank_groups * self.banks * self.rows * self.columns


# fmt: off
_ORGANISATION = {
    #                        kind      MT/s  pins  bus  BL  groups  banks     rows  columns  /clock
    "ddr3-800d-4gb-x16":   ("ddr3",    800,   16,  16,  8,      1,     8, 1 << 15,    1024,    2),
    "ddr4-2400r-8gb-x8":   ("ddr4",   2400,    8,  64,  8,      4,     4, 1 << 16,    1024,    2),
    "ddr4-2400r-8gb-x16":  ("ddr4",   2400,   16,  64,  8,      2,     4, 1 << 16,    1024,    2),
    "ddr5-4800b-16gb-x8":  ("ddr5",   4800,    8,  32, 16,      8,     4, 1 << 16,    1024,    2),
    "lpddr4-3200-4gb-x16": ("lpddr4", 3200,   16,  16, 16,      1,     8, 1 << 15,    1024,    2),
    "hbm2-1800-2gb-x64":   ("hbm2",   1800,   64,  64,  4,      4,     4, 1 << 14,     128,    2),
    "hbm2e-3200-4gb-x64":  ("hbm2e",  3200,   64,  64,  4,      4,     4, 1 << 15,     128,    2),
    "hbm3-6400-4gb-x32":   ("hbm3",   6400,   32,  32,  8,      4,     4, 1 << 15,     256,    4),
}
"""What a part is, in the order of `DramPart`."""

# DDR3: JESD79-3, DDR3-800D (5-5-5), tCK 2.5 ns. 4 Gb: tRFC 260 ns, tREFI 7.8 us. No bank groups.
# DDR4: JESD79-4, speed bin DDR4-2400R (16-16-16). 8 Gb: tRFC1 350 ns, tREFI 7.8 us. tRRD and tFAW
#   depend on the page: 1 KiB of x8, 2 KiB of x16.
# DDR5: JESD79-5, DDR5-4800B (40-39-39), tCK 0.416 ns. 16 Gb: tRFC1 295 ns, tREFI1 3.9 us.
# LPDDR4: JESD209-4, LPDDR4-3200, tCK 0.625 ns. 4 Gb a channel: tRFCab 180 ns, tREFI 3.904 us. tRP
#   is that of one bank. No bank groups.
# HBM: JESD235, at 2 Gb/s a pin in pseudo channels of BL4, which leaves most timings to the vendor:
#   they are those that DRAM simulators agree on, in ns: tRCD, tRP, CL 14, tRAS 34, tRC 48, tRRD 4
#   and 6, tFAW 16, tWR 16, tWTR 6 and 8, tRTP 5. tRFC is of all banks, by the size of the channel.
# HBM2: 900 MHz. A stack of 4 GB: channels of 4 Gb, tRFC 260 ns, tREFI 3.9 us.
# HBM2E: 1600 MHz. A stack of 16 GB: channels of 16 Gb in two ranks, tRFC 350 ns, tREFI 3.9 us.
# HBM3: JESD238, pseudo channels of 32 pins and BL8, four transfers in a clock of 1600 MHz.
_CLOCKS = {
    #           ddr3  ddr4 x8  ddr4 x16   ddr5  lpddr4   hbm2  hbm2e   hbm3
    "CL":     (    5,      16,       16,    40,     28,    13,    23,    23),
    "CWL":    (    5,      12,       12,    38,     14,     5,     8,     8),
    "tRCD":   (    5,      16,       16,    39,     29,    13,    23,    23),
    "tRP":    (    5,      16,       16,    39,     29,    13,    23,    23),
    "tRAS":   (   15,      39,       39,    77,     68,    31,    55,    55),
    "tRC":    (   20,      55,       55,   116,     97,    44,    77,    77),
    "tRRD_S": (    4,       4,        7,     8,     16,     4,     7,     7),
    "tRRD_L": (    4,       6,        8,    12,     16,     6,    10,    10),
    "tCCD_S": (    4,       4,        4,     8,      8,     2,     2,     2),
    "tCCD_L": (    4,       6,        6,    12,      8,     4,     4,     4),
    "tFAW":   (   20,      26,       36,    32,     64,    15,    26,    26),
    "tWR":    (    6,      18,       18,    72,     29,    15,    26,    26),
    "tWTR_S": (    4,       3,        3,     6,     16,     6,    10,    10),
    "tWTR_L": (    4,       9,        9,    24,     16,     8,    13,    13),
    "tRTP":   (    4,       9,        9,    18,     12,     5,     8,     8),
    "tRFC":   (  104,     420,      420,   708,    288,   234,   560,   560),
    "tREFI":  ( 3120,    9360,     9360,  9360,   6246,  3510,  6240,  6240),
}
"""The timings of each part, in the order of `_ORGANISATION`."""
# fmt: on

PARTS = {
    name: DramPart(*part, Timings(**dict(zip(_CLOCKS, clocks, strict=True))))
    for (name, part), clocks in zip(
        _ORGANISATION.items(), zip(*_CLOCKS.values(), strict=True), strict=True
    )
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
