"""The hardware design: one frozen, validated description and every size derived from it."""

from alula.design.design import Design
from alula.design.engines import BLOCK, GROUP, INSTRUCTION_BYTES, Buffers, Mpe, Sfu
from alula.design.error import DesignError
from alula.design.loading import load_design
from alula.design.memory import Memory
from alula.design.part import Part
from alula.design.shipped import shipped_designs

__all__ = [
    "BLOCK",
    "GROUP",
    "INSTRUCTION_BYTES",
    "Buffers",
    "Design",
    "DesignError",
    "Memory",
    "Mpe",
    "Part",
    "Sfu",
    "load_design",
    "shipped_designs",
]
