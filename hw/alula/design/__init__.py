"""The hardware design: one frozen, validated description and every size derived from it."""

from alula.design.design import Design
from alula.design.engines import CHAIN_LENGTH, GROUP, Buffers, Mpe, Sfu
from alula.design.error import DesignError
from alula.design.loading import load_design
from alula.design.memory import Memory
from alula.design.part import Part
from alula.design.shipped import shipped_designs

__all__ = [
    "CHAIN_LENGTH",
    "GROUP",
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
