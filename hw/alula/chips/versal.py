"""AMD Versal, which Yosys does not have: it is synthesised as UltraScale+.

Its LUTs and memories are as large, and a DSP58 does a DSP48E2's work, which Versal's tools take in
its place.
"""

from dataclasses import replace

from alula.chips.ultrascale import AMD_PACKAGE, ULTRASCALE_PLUS

VERSAL = replace(
    ULTRASCALE_PLUS,
    name="versal",
    title="a Versal chip",
    order_number=rf"x[acq](2?v[cehmnp]|v)\d+{AMD_PACKAGE}",
    example="xcvh1582-vsva3697-2MP-e-S",
    dsp=replace(ULTRASCALE_PLUS.dsp, name="DSP58"),
)
