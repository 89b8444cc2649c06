"""AMD UltraScale+: Kria and Zynq, Artix, Kintex, Virtex and Alveo."""

from alula.chips.family import ChipFamily, DspBlocks
from alula.chips.ultrascale_delays import DELAYS, NETS
from alula.chips.use import Use

AMD_PACKAGE = r"-[a-z]+\d+-[0-9a-z-]+"
"""Package, pins, speed grade and temperature in an order number of AMD's."""

_LUT, _FF, _NOTHING = Use(lut=1), Use(ff=1), Use()

ULTRASCALE_PLUS = ChipFamily(
    name="ultrascale+",
    title="an UltraScale+ chip",
    order_number=rf"x[acq](k2[46]|(ku|vu|au|su)\d+p|zu\d+[a-z]+|ux?\d+[a-z]?){AMD_PACKAGE}",
    example="xck26-sfvc784-2LV-c",
    dsp=DspBlocks(
        name="DSP48E2",
        int8_macs=2,
        accumulator=2,
        output=2,
        lane=5,
        scalar=4,
        address=7,
        pattern=4,
        sequencer=3,
    ),
    multiplier="dsp48e2",
    table_words=64,
    # UG574: the LUTs of a distributed RAM. Wide multiplexers and carries are beside the LUTs.
    cells={
        **{f"LUT{inputs}": _LUT for inputs in range(1, 7)},
        **dict.fromkeys(("INV", "SRL16E", "SRLC16E", "SRLC32E", "RAM32X1S", "RAM64X1S"), _LUT),
        **dict.fromkeys(("RAM32X1D", "RAM64X1D", "RAM128X1S"), _LUT * 2),
        **dict.fromkeys(("RAM32M", "RAM64M", "RAM128X1D", "RAM256X1S"), _LUT * 4),
        **dict.fromkeys(("RAM32M16", "RAM64M8", "RAM256X1D", "RAM512X1S"), _LUT * 8),
        **dict.fromkeys(("FDRE", "FDSE", "FDCE", "FDPE"), _FF),
        **dict.fromkeys(("FDRE_1", "FDSE_1", "FDCE_1", "FDPE_1"), _FF),
        **dict.fromkeys(("CARRY4", "MUXF7", "MUXF8", "MUXF9"), _NOTHING),
        **dict.fromkeys(("BUFG", "BUFGCE"), _NOTHING),
        "DSP48E2": Use(dsp=1),
        "RAMB36E2": Use(bram36=1),
        "RAMB18E2": Use(bram36=0.5),
        "URAM288": Use(uram=1),
    },
    # Joined look-up tables (MUXF7 and up) would count as nothing and cost a quarter more of them.
    synthesis="synth_xilinx -family xcup -flatten -noiopad -noclkbuf -nowidelut",
    delays=DELAYS,
    nets=NETS,
    flow="vivado",
)
