"""What the fp32 units take where their operands may come from several places."""

from alula.gateware.arithmetic import float_activation, float_add, float_multiply, float_root

OPERANDS = 1
"""Cycles from a unit's operands being chosen to their standing before it."""
ADD = OPERANDS + float_add.LATENCY
MULTIPLY = OPERANDS + float_multiply.LATENCY
FUNCTION = OPERANDS + float_activation.LATENCY
ROOT = OPERANDS + float_root.LATENCY
LONGEST = MULTIPLY + FUNCTION + ADD + MULTIPLY
"""Cycles of the longest operation of a lane: a product's function, less 1/2, times a factor."""
RESULT = 1
"""Cycles from a lane's result to that of all lanes."""
