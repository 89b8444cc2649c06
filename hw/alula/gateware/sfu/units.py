"""What the fp32 units take where their operands may come from several places."""

from alula.gateware.arithmetic import float_activation, float_add, float_multiply, float_root

__all__ = ["ADD", "FUNCTION", "MULTIPLY", "OPERANDS", "ROOT"]

OPERANDS = 1
"""Cycles from a unit's operands being chosen to their standing before it."""
ADD = OPERANDS + float_add.LATENCY
MULTIPLY = OPERANDS + float_multiply.LATENCY
FUNCTION = OPERANDS + float_activation.LATENCY
ROOT = OPERANDS + float_root.LATENCY
