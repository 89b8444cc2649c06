"""Static timing of netlists: an estimate, from published cell delays and a model of nets."""

from alula.timing.analysis import Path, Timing, analyse
from alula.timing.netlist import Module, Netlist, UnknownCell
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
