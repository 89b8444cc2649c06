"""Cells of ECP5 and their delays in ns, speed grade 6.

Source: Project Trellis' database (ECP5/timing/speed_6/cells.json), the largest of each group of
pins; Yosys' cells have the delays of the slices that they become.
"""

from collections.abc import Iterator

from alula.chips.arcs import Arc, Cell, DelayModel
from alula.chips.nets import Nets

NETS = {"typical": Nets(0.8, 0.15), "fast": Nets(0.6, 0.1), "slow": Nets(1.0, 0.2)}
"""Chosen to be near what nextpnr places; docs/explanation/timing.md compares."""

_LUT = 0.236
_CLOCK_TO_Q = 0.525
_RESET_SETUP = 0.424
_MUX_INPUT, _MUX_SELECT = 0.242, 0.256
_CARRY_START, _CARRY_STEP = 0.447, 0.071
_SUM, _CARRY_TO_SUM = 0.714, 0.474
_LUT_MEMORY, _LUT_MEMORY_WRITE = 0.929, 0.392


def _lut(cell: Cell) -> Iterator[Arc]:
    for pin in "ABCD":
        yield Arc(pin, "Z", _LUT, levels=1)


def _register(cell: Cell) -> Iterator[Arc]:
    yield Arc(None, "Q", _CLOCK_TO_Q)
    for pin in ("DI", "M", "CE"):
        yield Arc(pin, None, 0.0)
    yield Arc("LSR", None, _RESET_SETUP)


def _wide_multiplexer(cell: Cell) -> Iterator[Arc]:
    """PFUMX and L6MUX21: the wire in front is the slice's own."""
    pins = ("ALUT", "BLUT", "C0") if cell.kind == "PFUMX" else ("D0", "D1", "SD")
    for pin in pins:
        select = pin in ("C0", "SD")
        delay = _MUX_SELECT if select else _MUX_INPUT
        yield Arc(pin, "Z", delay, direct=not select)


def _carry(cell: Cell) -> Iterator[Arc]:
    """CCU2C: two bits of a sum."""
    for pin in "ABCD":
        yield Arc(f"{pin}0", "S0", _LUT, levels=1)
        yield Arc(f"{pin}0", "S1", _SUM, levels=1)
        yield Arc(f"{pin}1", "S1", _LUT, levels=1)
        for half in "01":
            yield Arc(f"{pin}{half}", "COUT", _CARRY_START, levels=1)
    for output in ("S0", "S1"):
        yield Arc("CIN", output, _CARRY_TO_SUM, direct=True)
    yield Arc("CIN", "COUT", _CARRY_STEP, direct=True)


def _lut_memory(cell: Cell) -> Iterator[Arc]:
    """TRELLIS_DPR16X4: written by the clock, read like a LUT."""
    yield Arc(None, "DO", _LUT_MEMORY)
    yield Arc("RAD", "DO", _LUT, levels=1)
    for pin in ("DI", "WAD"):
        yield Arc(pin, None, 0.0)
    yield Arc("WRE", None, _LUT_MEMORY_WRITE)


_BRAM_OUT = {"A": (5.609, 0.973), "B": (5.830, 0.956)}
"""From the clock to the data, without and with the output register."""
_BRAM_SETUP = {
    "A": {"AD": 0.251, "DI": 0.218, "WE": 0.139, "CE": 0.211, "OCE": 0.226, "RST": 0.579},
    "B": {"AD": 0.205, "DI": 0.134, "WE": 0.0, "CE": 0.340, "OCE": 0.253, "RST": 0.585},
}  # fmt: skip


def _block_ram(cell: Cell) -> Iterator[Arc]:
    """DP16KD, and PDPW16KD, which writes at A and reads at B."""
    for side, delays in _BRAM_OUT.items():
        registered = cell.parameters.get(f"REGMODE_{side}", cell.parameters.get("REGMODE"))
        delay = delays[registered == "OUTREG"]
        for pin in cell.ports:
            if pin.startswith(f"DO{side}") or (pin.startswith("DO") and side == "B"):
                yield Arc(None, pin, delay)
            elif setup := _block_ram_setup(pin, side):
                yield Arc(pin, None, setup)


def _block_ram_setup(pin: str, side: str) -> float:
    writes, reads = pin.endswith("W") or pin.startswith("DI"), pin.endswith("R")
    name = pin.rstrip("0123456789")
    for prefix, setup in _BRAM_SETUP[side].items():
        if name == f"{prefix}{side}" or (name.startswith(prefix) and (writes, reads)[side == "B"]):
            return setup
    return 0.0


_MULTIPLIER = {"NONE": 3.927, "INPUT": 3.864, "PIPELINE": 1.334, "OUTPUT": 0.735}
"""To the product, by the last register in front of it."""
_MULTIPLIER_SETUP = {"INPUT": 0.084, "PIPELINE": 2.625, "OUTPUT": 3.486}
"""From the factors into the first register."""


def _multiplier(cell: Cell) -> Iterator[Arc]:
    registers = {"INPUT": "INPUTA", "PIPELINE": "PIPELINE", "OUTPUT": "OUTPUT"}
    stages = [
        stage
        for stage, register in registers.items()
        if cell.parameters.get(f"REG_{register}_CLK", "NONE") != "NONE"
    ]
    products = [pin for pin in cell.ports if pin.startswith("P")]
    factors = [pin for pin in cell.ports if pin[0] in "AB" and pin[1:].isdigit()]
    if stages:
        for pin in factors:
            yield Arc(pin, None, _MULTIPLIER_SETUP[stages[0]])
        for pin in products:
            yield Arc(None, pin, _MULTIPLIER[stages[-1]])
        return
    for factor in factors:
        for pin in products:
            yield Arc(factor, pin, _MULTIPLIER["NONE"])


def _clock_gate(cell: Cell) -> Iterator[Arc]:
    yield Arc("CE", None, 0.0)


_CLOCKS_OF_RAM = ("CLKA", "CLKB", "CLKR", "CLKW")

DELAYS: dict[str, DelayModel] = {
    "LUT4": DelayModel(_lut),
    "TRELLIS_FF": DelayModel(_register, ("CLK",)),
    **dict.fromkeys(("PFUMX", "L6MUX21"), DelayModel(_wide_multiplexer)),
    "CCU2C": DelayModel(_carry),
    "TRELLIS_DPR16X4": DelayModel(_lut_memory, ("WCK",)),
    **dict.fromkeys(("DP16KD", "PDPW16KD"), DelayModel(_block_ram, _CLOCKS_OF_RAM)),
    "MULT18X18D": DelayModel(_multiplier, ("CLK0", "CLK1", "CLK2", "CLK3")),
    "DCCA": DelayModel(_clock_gate, ("CLKI", "CLKO")),
}
