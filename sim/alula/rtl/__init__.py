"""Verilog to something that runs: Verilator builds, kept by content."""

from alula.rtl.simulation import Simulation, simulate
from alula.rtl.toolchain import ToolchainError
from alula.rtl.verilate import BuildOptions, verilate

__all__ = ["BuildOptions", "Simulation", "ToolchainError", "simulate", "verilate"]
