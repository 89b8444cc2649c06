"""What a design costs before anyone builds it: cycles of a model, resources, the clock.

Tier 0, `bound`: what no machine can be faster than, for whole spaces at once. Tier 1, `predict`
and `time_program`: a cycle model of the engines, queues, tokens, weight stream and memory, run on
the programs that would run, without data. Tier 2 is RTL (`alula.rtl`).
"""

from alula.cost.bound import LowerBounds, Sizes, bound
from alula.cost.predict import Cost, predict
from alula.cost.run import (
    ACCOUNTS,
    InstructionTimes,
    Timeline,
    time_instructions,
    time_program,
)

__all__ = [
    "ACCOUNTS",
    "Cost",
    "InstructionTimes",
    "LowerBounds",
    "Sizes",
    "Timeline",
    "bound",
    "predict",
    "time_instructions",
    "time_program",
]
