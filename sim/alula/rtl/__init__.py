"""Verilog to something that runs: Verilator builds, kept by content."""

from alula.rtl.simulation import Simulation, simulate
from alula.rtl.toolchain import ToolchainError
from alula.rtl.verilate import Recipe, verilate

__all__ = ["Recipe", "Simulation", "ToolchainError", "simulate", "verilate"]
