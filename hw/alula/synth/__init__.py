"""Synthesis: a design's Verilog for its part, what it takes there, and where it is placed."""

from alula.synth.export import export
from alula.synth.place import Placement, check_flow, place_and_route
from alula.synth.place_modules import ModulePlacements, place_modules
from alula.synth.report import Report, synthesise
from alula.synth.tools import SynthError, Tool, nextpnr, yosys
from alula.synth.verilog import TOP, top_of, verilog
from alula.synth.vivado_report import VivadoReport, read_reports

__all__ = [
    "TOP",
    "ModulePlacements",
    "Placement",
    "Report",
    "SynthError",
    "Tool",
    "VivadoReport",
    "check_flow",
    "export",
    "nextpnr",
    "place_and_route",
    "place_modules",
    "read_reports",
    "synthesise",
    "top_of",
    "verilog",
    "yosys",
]
