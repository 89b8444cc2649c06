"""Constraints and scripts for Yosys and nextpnr, which here are of ECP5."""

import re
from collections.abc import Sequence
from pathlib import Path

from alula.chips.ecp5 import ECP5
from alula.design import Design
from alula.synth import floorplan
from alula.synth.order import order_number
from alula.synth.verilog import SCAN

_CONSTRAINTS = """\
# One clock, {mhz} MHz. The four pins of the scan registers may be any.
FREQUENCY PORT "clk" {mhz} MHZ;
"""
_BUILD = """\
#!/bin/sh
# Synthesises, places and routes {name} for {part}; needs yosys, nextpnr-ecp5 and Python.
# The top is {scan}: shift registers replace the memory controller and the host.
set -eu
cd "$(dirname "$0")"
yosys -q -l yosys.log -p "{synthesis}" $(cat {name}.f)
python3 floorplan.py {size} {name}.netlist.json
nextpnr-ecp5 {options} --lpf {name}.lpf --textcfg {name}.config
"""


def synthesis(netlist: str) -> str:
    """Return what Yosys does once it has read the Verilog, to write a netlist for nextpnr."""
    return f"{ECP5.synthesis} -top {SCAN} -json {netlist}"


def chip(design: Design) -> tuple[str, str, str]:
    """Return a design's chip: size, speed grade, balls of its package.

    Raises:
        SynthError: the part's order number is of no ECP5.
    """
    match = re.fullmatch(ECP5.order_number, order_number(design), re.IGNORECASE)
    assert match is not None
    return match["size"], match["speed"], match["pins"]


def nextpnr_options(design: Design, netlist: str, report: str, seed: int = 1) -> list[str]:
    """Return nextpnr's options for a design's chip and clock; every pin is left to it.

    Args:
        design: what is placed.
        netlist: file that is read.
        report: file that is written.
        seed: where the placer begins.

    Raises:
        SynthError: the part's order number is of no ECP5.
    """
    size, speed, pins = chip(design)
    return [
        *(f"--{size}k", "--speed", speed, "--package", f"CABGA{pins}"),
        *("--freq", str(design.clock_mhz), "--json", netlist, "--report", report),
        *("--lpf-allow-unconstrained", "--timing-allow-fail", "--seed", str(seed)),
        # The other router makes no progress where wires are as scarce as here.
        *("--router", "router2"),
    ]


def scripts(design: Design, modules: Sequence[str]) -> dict[str, str]:
    """Return the texts of an LPF file and of two scripts by name.

    Args:
        design: what is exported.
        modules: names of its modules, each in a file in ``rtl``; the file list has them.

    Raises:
        SynthError: the part's order number is of no ECP5.
    """
    name = design.name
    options = nextpnr_options(design, f"{name}.netlist.json", f"{name}.report.json")
    values = {
        "name": name,
        "mhz": design.clock_mhz,
        "part": order_number(design),
        "size": chip(design)[0],
        "scan": SCAN,
        "synthesis": synthesis(f"{name}.netlist.json"),
        "options": " ".join(options),
    }
    return {
        f"{name}.lpf": _CONSTRAINTS.format(**values),
        "build.sh": _BUILD.format(**values),
        "floorplan.py": Path(floorplan.__file__).read_text(encoding="utf-8"),
    }
