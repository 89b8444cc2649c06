"""What a plan may be asked for. Nothing else is loaded, so that the command line has it at once."""

from typing import Literal, get_args

Objective = Literal["latency", "ttft", "throughput", "energy", "cost"]
"""What is made least: the whole request's time, that to the first token, that between requests if
there are many, joules, or what a million tokens cost."""

OBJECTIVES: tuple[Objective, ...] = get_args(Objective)

LEAST_GAIN = 0.02
"""The share that a split must save of the best single device's value."""
