"""The shape of a model and its layer IR."""

from alula.ir.architecture import Architecture
from alula.ir.graph import Graph, Node, Value
from alula.ir.legality import IllegalGraph, check
from alula.ir.passes import build_graph
from alula.ir.precision import Precision

__all__ = [
    "Architecture",
    "Graph",
    "IllegalGraph",
    "Node",
    "Precision",
    "Value",
    "build_graph",
    "check",
]
