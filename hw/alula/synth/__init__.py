"""Synthesis: a design's Verilog for its part, what it takes there, and where it is placed."""

from alula.synth.export import export
from alula.synth.place import Placement, check_flow, place_and_route
from alula.synth.place_modules import ModulePlacements, place_modules
from alula.synth.report import Report, synthesise
from alula.synth.tools import SynthError, Tool, nextpnr, yosys
from alula.synth.verilog import TOP, top_of, verilog

__all__ = [
    "TOP",
    "ModulePlacements",
    "Placement",
    "Report",
    "SynthError",
    "Tool",
    "check_flow",
    "export",
    "nextpnr",
    "place_and_route",
    "place_modules",
    "synthesise",
    "top_of",
    "verilog",
    "yosys",
]
