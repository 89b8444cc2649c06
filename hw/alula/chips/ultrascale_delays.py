"""Cells of UltraScale+ and their delays in ns, at 0.85 V and speed grade -2.

Sources: RapidWright's lightweight timing model for UltraScale+ (timing/ultrascaleplus, version 0.5:
LUTs, flip-flops, carries, block RAM, UltraRAM); DSP blocks from the examples in its reader of DSP
timing. What is marked assumed lies within what DS925 says of whole blocks.
"""

import re
from collections.abc import Iterator

from alula.chips.arcs import Arc, Cell, DelayModel
from alula.chips.nets import Nets

NETS = {"typical": Nets(0.25, 0.06), "fast": Nets(0.15, 0.04), "slow": Nets(0.35, 0.09)}
"""Assumed; nothing was placed to compare them with."""

_LUT_PINS = (0.035, 0.050, 0.090, 0.100, 0.125, 0.150)
"""From the inputs A6 .. A1 of a LUT."""
_LUT = tuple(sum(_LUT_PINS[:inputs]) / inputs for inputs in range(1, 7))
"""By the number of inputs: tools put a late signal on a fast pin, so the mean of those used."""
_CLOCK_TO_Q, _SETUP = 0.077, 0.075
_CONTROL = 0.05
"""Enable and reset of a flip-flop (assumed)."""
_MUX = 0.077
_LUT_MEMORY, _LUT_MEMORY_SETUP = 0.312, 0.180


def _lut(cell: Cell) -> Iterator[Arc]:
    pins = ["I"] if cell.kind == "INV" else [f"I{index}" for index in range(int(cell.kind[3:]))]
    for pin in pins:
        yield Arc(pin, "O", _LUT[len(pins) - 1], levels=1)


def _register(cell: Cell) -> Iterator[Arc]:
    yield Arc(None, "Q", _CLOCK_TO_Q)
    yield Arc("D", None, _SETUP)
    for control in ("CE", "R", "S", "CLR", "PRE"):
        yield Arc(control, None, _CONTROL)


def _multiplexer(cell: Cell) -> Iterator[Arc]:
    for pin in ("I0", "I1", "S"):
        yield Arc(pin, "O", _MUX, direct=pin != "S")


# A CARRY4 is half of a CARRY8: from CI, DI[i] and S[i] to CO[j] and O[j], j >= i.
_CI_CO, _CI_O = (0.052, 0.042, 0.057, 0.060), (0.056, 0.076, 0.067, 0.082)
_DI_CO = ((0.057, 0.083, 0.090, 0.182), (0.073, 0.078, 0.144), (0.069, 0.134), (0.131,))
_DI_O = ((0.0, 0.081, 0.109, 0.115), (0.0, 0.099, 0.102), (0.0, 0.094), (0.0,))
_S_CO = ((0.071, 0.109, 0.115, 0.186), (0.091, 0.098, 0.184), (0.063, 0.148), (0.133,))
_S_O = ((0.065, 0.096, 0.134, 0.139), (0.056, 0.117, 0.123), (0.058, 0.086), (0.061,))


def _carry(cell: Cell) -> Iterator[Arc]:
    for port, delays in (("CO", _CI_CO), ("O", _CI_O)):
        for bit, delay in enumerate(delays):
            yield Arc("CI", port, delay, direct=True, end_bit=bit)
            yield Arc("CYINIT", port, delay, end_bit=bit)
    for pin, port, table in (
        ("DI", "CO", _DI_CO), ("DI", "O", _DI_O), ("S", "CO", _S_CO), ("S", "O", _S_O),
    ):  # fmt: skip
        for start, delays in enumerate(table):
            for step, delay in enumerate(delays):
                if delay:
                    yield Arc(pin, port, delay, start_bit=start, end_bit=start + step)


def _lut_memory(cell: Cell) -> Iterator[Arc]:
    """A memory or shift register of LUTs: read like a LUT, written by the clock.

    UG974: of several ports each has its address (ADDRA) and data (DOA); the last one's is the
    address that is written.
    """
    outputs = [port for port in cell.ports if port.startswith(("DO", "Q", "O", "SPO", "DPO"))]
    for output in outputs:
        yield Arc(None, output, _LUT_MEMORY)
    written = max((pin for pin in cell.ports if pin.startswith("ADDR")), default="")
    for pin in cell.ports:
        if pin in (*outputs, "CLK", "WCLK"):
            continue
        reads = _lut_memory_output(pin, cell.kind)
        if reads in outputs:
            yield Arc(pin, reads, _LUT_PINS[-1], levels=1)
        if not reads or pin == written or reads in ("O", "SPO"):
            yield Arc(pin, None, _LUT_MEMORY_SETUP)


def _lut_memory_output(pin: str, kind: str) -> str:
    """The output that an address selects; nothing if the pin is no address."""
    if pin.startswith("ADDR"):
        return f"DO{pin[4]}"
    if pin.startswith("DPRA"):
        return "DPO"
    if not re.fullmatch(r"A\d*", pin):
        return ""
    return "Q" if kind.startswith("SRL") else "SPO" if kind.endswith("D") else "O"


_BRAM_OUT = (1.003, 0.229)
"""From the clock to the data, without and with the output register."""
_BRAM_SETUP = {"ADDR": 0.383, "DIN": 0.313, "WE": 0.394, "EN": 0.342, "REGCE": 0.233, "RST": 0.313}


def _block_ram(cell: Cell) -> Iterator[Arc]:
    for side in "AB":
        delay = _BRAM_OUT[cell.parameter(f"DO{side}_REG", 0)]
        for output in (f"DOUT{side}DOUT", f"DOUTP{side}DOUTP", f"DO{side}DO", f"DOP{side}DOP"):
            yield Arc(None, output, delay)
    for pin in cell.ports:
        for prefix, setup in _BRAM_SETUP.items():
            if pin.startswith(prefix):
                yield Arc(pin, None, setup)
                break


_URAM_OUT = {"A": (1.292, 0.767), "B": (2.059, 0.698)}
"""From the clock to the data, without and with the output register; no error correction."""
_URAM_SETUP = {
    "ADDR": (0.522, 0.309), "DIN": (0.536, 0.308), "BWE": (0.491, 0.313), "EN": (0.458, 0.260),
    "RDB_WR": (0.456, 0.260), "OREG_CE": (0.479, 0.479),
}  # fmt: skip
"""Without and with the input register."""


def _ultra_ram(cell: Cell) -> Iterator[Arc]:
    for side, delays in _URAM_OUT.items():
        yield Arc(None, f"DOUT_{side}", delays[cell.parameter(f"OREG_{side}", 0)])
        registered = cell.parameter(f"IREG_PRE_{side}", 0)
        for pin, setups in _URAM_SETUP.items():
            yield Arc(f"{pin}_{side}", None, setups[registered])


_DSP_THROUGH = {"P": 1.559, "PCOUT": 1.572}
"""From A or B through multiplier and adder."""
_DSP_INPUT_TO = {"P": 1.62, "PCOUT": 1.69}
"""From the clock of the input registers, with none behind them."""
_DSP_M_TO = {"P": 0.90, "PCOUT": 0.97}
"""From the multiplier's register (assumed)."""
_DSP_P_TO = {"P": 0.35, "PCOUT": 0.42}
"""From the adder's register (assumed)."""
_DSP_ADDER = 0.85
"""From C, PCIN or a mode through the adder (assumed)."""
_DSP_SETUP = 0.20
"""Into an input register (assumed)."""
_DSP_M_SETUP, _DSP_P_SETUP = 0.95, 1.45
"""From A or B into the registers of the multiplier and of the adder (assumed)."""
_DSP_ADDER_SETUP = 0.55
"""From C or PCIN into the adder's register."""
_DSP_ENABLE = 0.16
_DSP_FACTORS = ("A", "B", "D", "INMODE")
_DSP_ADDENDS = {"C": "CREG", "PCIN": "", "CARRYIN": "CARRYINREG", "OPMODE": "OPMODEREG"}
_DSP_ADDENDS |= {"ALUMODE": "ALUMODEREG"}


def _dsp(cell: Cell) -> Iterator[Arc]:
    """A DSP48E2, by which of its registers are used."""
    m, p = cell.parameter("MREG", 1), cell.parameter("PREG", 1)
    for output in ("P", "PCOUT"):
        if p:
            yield Arc(None, output, _DSP_P_TO[output])
        elif m:
            yield Arc(None, output, _DSP_M_TO[output])
        elif any(cell.parameter(f"{pin}REG", 1) for pin in "AB"):
            yield Arc(None, output, _DSP_INPUT_TO[output])
    for pin in _DSP_FACTORS:
        if cell.parameter(f"{pin}REG", 1):
            yield Arc(pin, None, _DSP_SETUP)
        elif m:
            yield Arc(pin, None, _DSP_M_SETUP)
        elif p:
            yield Arc(pin, None, _DSP_P_SETUP)
        else:
            for output, delay in _DSP_THROUGH.items():
                yield Arc(pin, output, delay)
    for pin, register in _DSP_ADDENDS.items():
        cascade = pin == "PCIN"
        if register and cell.parameter(register, 1):
            yield Arc(pin, None, _DSP_SETUP)
        elif p:
            yield Arc(pin, None, _DSP_ADDER_SETUP, direct=cascade)
        else:
            for output in ("P", "PCOUT"):
                yield Arc(pin, output, _DSP_ADDER, direct=cascade)
    for pin in cell.ports:
        if pin.startswith(("CE", "RST")):
            yield Arc(pin, None, _DSP_ENABLE)


def _clock_buffer(cell: Cell) -> Iterator[Arc]:
    yield Arc("CE", None, 0.2)


_LUT_MEMORIES = (
    "SRL16E", "SRLC16E", "SRLC32E", "RAM32X1S", "RAM64X1S", "RAM32X1D", "RAM64X1D", "RAM128X1S",
    "RAM32M", "RAM64M", "RAM128X1D", "RAM256X1S", "RAM32M16", "RAM64M8", "RAM256X1D", "RAM512X1S",
)  # fmt: skip
DELAYS: dict[str, DelayModel] = {
    **dict.fromkeys(("INV", *(f"LUT{inputs}" for inputs in range(1, 7))), DelayModel(_lut)),
    **dict.fromkeys(("FDRE", "FDSE", "FDCE", "FDPE"), DelayModel(_register, ("C",))),
    **dict.fromkeys(("FDRE_1", "FDSE_1", "FDCE_1", "FDPE_1"), DelayModel(_register, ("C",))),
    **dict.fromkeys(("MUXF7", "MUXF8", "MUXF9"), DelayModel(_multiplexer)),
    **dict.fromkeys(_LUT_MEMORIES, DelayModel(_lut_memory, ("CLK", "WCLK"))),
    **dict.fromkeys(("RAMB36E2", "RAMB18E2"), DelayModel(_block_ram, ("CLKARDCLK", "CLKBWRCLK"))),
    **dict.fromkeys(("BUFG", "BUFGCE"), DelayModel(_clock_buffer, ("I", "O"))),
    "CARRY4": DelayModel(_carry),
    "URAM288": DelayModel(_ultra_ram, ("CLK",)),
    "DSP48E2": DelayModel(_dsp, ("CLK",)),
}
