"""The meaning of each instruction, one function each."""

from alula.model.handlers import load, matrix, quantise, sfu, store, system
from alula.model.handlers.registry import HANDLERS

__all__ = ["HANDLERS", "load", "matrix", "quantise", "sfu", "store", "system"]
