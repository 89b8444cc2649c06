"""Synthesis: a design's Verilog for its part, what it takes there, and where it is placed."""

from alula.synth.export import export
from alula.synth.place import Placement, place_and_route
from alula.synth.report import Report, synthesise
from alula.synth.tools import SynthError, Tool, nextpnr, yosys
from alula.synth.verilog import TOP, top_of, verilog

__all__ = [
    "TOP",
    "Placement",
    "Report",
    "SynthError",
    "Tool",
    "export",
    "nextpnr",
    "place_and_route",
    "synthesise",
    "top_of",
    "verilog",
    "yosys",
]
