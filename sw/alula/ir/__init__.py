"""The shape of a model and its layer IR."""

from alula.ir.architecture import Architecture
from alula.ir.attention_blocks import AttentionBlocks
from alula.ir.graph import Graph, Node, Value
from alula.ir.legality import IllegalGraph, check
from alula.ir.limits import UnsupportedShape
from alula.ir.passes import build_graph
from alula.ir.precision import Precision
from alula.ir.refusal import Refusal, refusal_table

__all__ = [
    "Architecture",
    "AttentionBlocks",
    "Graph",
    "IllegalGraph",
    "Node",
    "Precision",
    "Refusal",
    "UnsupportedShape",
    "Value",
    "build_graph",
    "check",
    "refusal_table",
]
