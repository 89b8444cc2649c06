"""Static timing of netlists: an estimate, from published cell delays and a model of nets."""

from alula.timing.analysis import Path, Timing, analyse
from alula.timing.module import Module, UnknownCell
from alula.timing.netlist import Netlist
from alula.timing.ports import Through, through

__all__ = [
    "Module",
    "Netlist",
    "Path",
    "Through",
    "Timing",
    "UnknownCell",
    "analyse",
    "through",
]
