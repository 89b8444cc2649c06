"""The shape of a model and its layer IR."""

from alula.ir.architecture import Architecture
from alula.ir.graph import Graph, Node, Value
from alula.ir.legality import IllegalGraph, check
from alula.ir.passes import build_graph

__all__ = ["Architecture", "Graph", "IllegalGraph", "Node", "Value", "build_graph", "check"]
