"""Lattice ECP5, by the open tools. `alula.synth.floorplan` knows where its multipliers lie."""

from alula.chips.ecp5_delays import DELAYS, NETS
from alula.chips.family import ChipFamily, DspBlocks
from alula.chips.use import Use

_LUT, _FF, _NOTHING = Use(lut=1), Use(ff=1), Use()

ECP5 = ChipFamily(
    name="ecp5",
    title="an ECP5",
    order_number=r"LFE5U-(?P<size>12|25|45|85)F-(?P<speed>[678])BG(?P<pins>256|381|554|756)[CI]",
    example="LFE5U-85F-6BG756C",
    # A MULT18X18D is too narrow for two packed products.
    dsp=DspBlocks(
        name="MULT18X18D",
        int8_macs=1,
        accumulator=4,
        output=4,
        lane=9,
        scalar=6,
        address=10,
        pattern=4,
        sequencer=3,
    ),
    multiplier="mult18x18d",
    table_words=32,
    # FPGA-TN-02204: a distributed RAM of 16 by 4 takes the six LUTs of three slices' halves, a
    # carry two LUTs. Wide multiplexers are beside the LUTs.
    cells={
        "LUT4": _LUT,
        "CCU2C": _LUT * 2,
        "TRELLIS_DPR16X4": _LUT * 6,
        "TRELLIS_FF": _FF,
        **dict.fromkeys(("PFUMX", "L6MUX21", "DCCA"), _NOTHING),
        "MULT18X18D": Use(dsp=1),
        **dict.fromkeys(("DP16KD", "PDPW16KD"), Use(bram36=0.5)),
    },
    # No word is used that was written in the cycle in which it was read.
    synthesis="synth_ecp5 -no-rw-check",
    delays=DELAYS,
    nets=NETS,
    flow="nextpnr",
)
