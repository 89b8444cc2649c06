"""The DSP block of UltraScale+ and Versal, with the ports that a use leaves alone at rest."""

from collections.abc import Mapping

from amaranth.hdl import ClockSignal, Const, Instance, Signal, Value

M = 0b0101
"""Operation mode: the product."""
PCIN, P, C, PCIN_17 = 0b001 << 4, 0b010 << 4, 0b011 << 4, 0b101 << 4
"""Added to it: a neighbour's sum, the sum so far, `C`, or a neighbour's, moved right by 17 bits."""

_WIDTHS = {"A": 30, "B": 18, "C": 48, "D": 27, "ACIN": 30, "BCIN": 18, "PCIN": 48}
_MODES = {"INMODE": 5, "ALUMODE": 4, "CARRYINSEL": 3}
_IDLE = ("CEALUMODE", "CECARRYIN", "CEINMODE", "CARRYIN", "CARRYCASCIN", "MULTSIGNIN")
_RESETS = ("A", "B", "C", "D", "M", "P", "CTRL", "ALUMODE", "INMODE", "ALLCARRYIN")
_ENABLES = ("A1", "A2", "B1", "B2", "D", "AD", "M", "P", "CTRL", "C")
_REGISTERS = {"AREG": 1, "BREG": 1, "CREG": 1, "DREG": 1, "ADREG": 1, "MREG": 1, "PREG": 1}
_REGISTERS |= {"OPMODEREG": 0, "INMODEREG": 0, "ALUMODEREG": 0}
_REGISTERS |= {"CARRYINREG": 0, "CARRYINSELREG": 0}


def dsp48e2(
    opmode: Value | int,
    *,
    inputs: Mapping[str, Value],
    outputs: Mapping[str, Value],
    registers: Mapping[str, int] | None = None,
    enables: Mapping[str, Value] | None = None,
    pre_adder: bool = False,
) -> Instance:
    """Return a DSP48E2 that multiplies 27 by 18 bits, signed, and adds.

    Args:
        opmode: what is added to what: `M`, alone or with another.
        inputs: by port; those left out are 0. Signed values are extended, others filled with 0.
        outputs: by port, `P` and `PCOUT`, 48 bits each.
        registers: stages that are not one, and those of modes that are not none.
        enables: clock enables by register (`A1` is the first of two, `A2` the one that is always
            there); those left out are 1.
        pre_adder: the product is of `A + D` and `B`.
    """
    stages = _REGISTERS | dict(registers or {})
    ports: dict[str, Value | int | str] = {f"p_{name}": count for name, count in stages.items()}
    ports |= {"p_ACASCREG": stages["AREG"], "p_BCASCREG": stages["BREG"]}
    for name, width in _WIDTHS.items():
        value = inputs.get(name, Const(0, width))
        extended = value.as_signed() if value.shape().signed else value.as_unsigned()
        ports[f"i_{name}"] = Const(0, width) | extended if len(value) < width else value
    ports |= {f"i_{name}": Const(0, width) for name, width in _MODES.items()}
    ports |= {f"i_{name}": Const(0) for name in _IDLE}
    ports |= {f"i_RST{name}": Const(0) for name in _RESETS}
    ports |= {f"i_CE{name}": (enables or {}).get(name, Const(1)) for name in _ENABLES}
    if pre_adder:
        ports["i_INMODE"] = Const(0b00100, 5)
    return Instance(
        "DSP48E2",
        p_AMULTSEL="AD" if pre_adder else "A",
        p_BMULTSEL="B",
        p_PREADDINSEL="A",
        p_A_INPUT="DIRECT",
        p_B_INPUT="DIRECT",
        p_USE_MULT="MULTIPLY",
        p_USE_SIMD="ONE48",
        p_USE_PATTERN_DETECT="NO_PATDET",
        **ports,
        i_CLK=ClockSignal(),
        i_OPMODE=Const(opmode, 9) if isinstance(opmode, int) else opmode,
        **{f"o_{name}": outputs.get(name, Signal(48)) for name in ("P", "PCOUT")},
    )
