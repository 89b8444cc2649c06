"""Static timing of netlists: an estimate, from published cell delays and a model of nets."""

from alula.timing.analysis import NetlistTiming, TimingPath, analyse
from alula.timing.module import Module, UnknownCell
from alula.timing.netlist import Netlist
from alula.timing.ports import Through, through

__all__ = [
    "Module",
    "Netlist",
    "NetlistTiming",
    "Through",
    "TimingPath",
    "UnknownCell",
    "analyse",
    "through",
]
