"""What the cells of a synthesised netlist take of a part."""

from collections.abc import Iterator, Mapping
from dataclasses import astuple, dataclass, fields

from alula.design.part import Part

__all__ = ["Use", "use_of"]


@dataclass(frozen=True)
class Use:
    """Resources of a part.

    Attributes:
        lut: look-up tables, those that are memory or shift registers included.
        ff: flip-flops.
        dsp: DSP blocks.
        bram36: block RAMs of 36 Kbit; one of 18 Kbit is a half.
        uram: UltraRAMs.
    """

    lut: int = 0
    ff: int = 0
    dsp: int = 0
    bram36: float = 0
    uram: int = 0

    def __add__(self, other: "Use") -> "Use":
        return Use(*(a + b for a, b in zip(astuple(self), astuple(other), strict=True)))

    def __mul__(self, count: int) -> "Use":
        return Use(*(value * count for value in astuple(self)))

    def shares(self, part: Part) -> dict[str, float]:
        """Return each resource's share of what the part has, of those it has."""
        return {name: value / most for name, value, most in self._beside(part) if most}

    def fits(self, part: Part) -> bool:
        """Whether the part has all of it."""
        return all(value <= most for _, value, most in self._beside(part))

    def _beside(self, part: Part) -> Iterator[tuple[str, float, int]]:
        for field in fields(self):
            yield field.name, getattr(self, field.name), getattr(part, field.name)


_LUT, _FF, _NOTHING = Use(lut=1), Use(ff=1), Use()
# UG574: the LUTs of a distributed RAM. Wide multiplexers and carry chains stand beside the LUTs.
_ULTRASCALE = {
    **{f"LUT{inputs}": _LUT for inputs in range(1, 7)},
    **dict.fromkeys(("INV", "SRL16E", "SRLC16E", "SRLC32E", "RAM32X1S", "RAM64X1S"), _LUT),
    **dict.fromkeys(("RAM32X1D", "RAM64X1D", "RAM128X1S"), _LUT * 2),
    **dict.fromkeys(("RAM32M", "RAM64M", "RAM128X1D", "RAM256X1S"), _LUT * 4),
    **dict.fromkeys(("RAM32M16", "RAM64M8", "RAM256X1D", "RAM512X1S"), _LUT * 8),
    **dict.fromkeys(("FDRE", "FDSE", "FDCE", "FDPE", "FDRE_1", "FDSE_1", "FDCE_1", "FDPE_1"), _FF),
    **dict.fromkeys(("CARRY4", "CARRY8", "MUXF7", "MUXF8", "MUXF9", "BUFG", "BUFGCE"), _NOTHING),
    "DSP48E2": Use(dsp=1),
    "RAMB36E2": Use(bram36=1),
    "RAMB18E2": Use(bram36=0.5),
    "URAM288": Use(uram=1),
}
# FPGA-TN-02204: a distributed RAM of 16 by 4 takes the six LUTs of three slices' halves, a carry
# two LUTs. Wide multiplexers stand beside the LUTs.
_ECP5 = {
    "LUT4": _LUT,
    "CCU2C": _LUT * 2,
    "TRELLIS_DPR16X4": _LUT * 6,
    "TRELLIS_FF": _FF,
    **dict.fromkeys(("PFUMX", "L6MUX21", "DCCA"), _NOTHING),
    "MULT18X18D": Use(dsp=1),
    **dict.fromkeys(("DP16KD", "PDPW16KD"), Use(bram36=0.5)),
}
# Yosys synthesises for UltraScale+ in place of Versal.
_FAMILIES = {"ultrascale+": _ULTRASCALE, "versal": _ULTRASCALE, "ecp5": _ECP5}


def use_of(cells: Mapping[str, int], family: str) -> Use:
    """Return what cells take, by how many there are of each kind.

    Raises:
        KeyError: a kind of cell is unknown.
    """
    kinds = _FAMILIES[family]
    return sum((kinds[kind] * count for kind, count in cells.items()), Use())
