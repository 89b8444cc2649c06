"""What a plan is chosen for, and what each objective makes of a price."""

from collections.abc import Collection, Iterator, Sequence
from dataclasses import replace
from itertools import combinations

import numpy as np

from alula.plan_options import Objective
from alula.runtime.planning.bottleneck import least_bottleneck
from alula.runtime.planning.chain import ObjectiveWeights, Optimum
from alula.runtime.planning.devices import DeviceRecord
from alula.runtime.planning.problem import Price, Problem, price
from alula.runtime.planning.programme import cheapest
from alula.runtime.split import PHASES

UNITS: dict[Objective, str] = {
    "latency": "s",
    "ttft": "s",
    "throughput": "s a request",
    "energy": "J",
    "cost": "a million tokens",
}

_TIE = 1e-6
"""What the rest of a request weighs where only the first token counts."""


def energy_j(found: Price, records: Sequence[DeviceRecord]) -> float:
    """Return joules: devices that do nothing of the plan are off, the others idle or busy."""
    on = _used(found)
    busy = {d: sum(found.work[phase][d] for phase in PHASES) for d in on}
    return sum(
        records[d].busy_w * busy[d] + records[d].idle_w * (found.total_s - busy[d]) for d in on
    )


def cost_per_million(found: Price, records: Sequence[DeviceRecord], new: int) -> float:
    """Return what a million decoded tokens cost on the devices that the plan uses."""
    rate = sum(records[d].price_per_hour for d in _used(found)) / 3600
    return rate * found.total_s / new * 1e6


def bottleneck_s(found: Price) -> float:
    """Return the seconds between two requests of many: of the busiest device, or of the links.

    Devices work on different requests at once, and everything that crosses takes turns.
    """
    busy = [sum(found.work[phase][d] for phase in PHASES) for d in range(len(found.memory))]
    return max(*busy, found.crossing_s)


def value(objective: Objective, found: Price, records: Sequence[DeviceRecord], new: int) -> float:
    """Return what an objective makes least."""
    match objective:
        case "latency":
            return found.total_s
        case "ttft":
            return found.first_token_s + _TIE * found.total_s
        case "throughput":
            return bottleneck_s(found)
        case "energy":
            return energy_j(found, records)
        case "cost":
            return cost_per_million(found, records, new)


def best(
    objective: Objective, problem: Problem, records: Sequence[DeviceRecord], new: int
) -> Optimum | None:
    """Return the best placement within all limits; None if there is none."""
    if objective == "throughput":
        return least_bottleneck(problem)
    count = len(problem.devices)
    if objective in ("latency", "ttft"):
        return cheapest(problem, weights(objective, records, range(count)))
    found = [
        placed
        for on in _subsets(count)
        if (placed := cheapest(_only(problem, on), weights(objective, records, on))) is not None
    ]
    return min(
        found,
        key=lambda one: value(objective, price(problem, one.placement), records, new),
        default=None,
    )


def weights(
    objective: Objective, records: Sequence[DeviceRecord], on: Collection[int]
) -> ObjectiveWeights:
    """Return what a second counts, if the devices `on` are."""
    count = len(records)
    ones = np.ones(count)
    if objective == "ttft":
        return ObjectiveWeights(
            work={"prefill": ones * (1 + _TIE), "decode": ones * _TIE},
            hidden={"prefill": 1 + _TIE, "decode": _TIE},
            moved=_TIE,
            ids=_TIE,
        )
    rate = 1.0
    each = ones
    if objective == "energy":
        rate = sum(records[d].idle_w for d in on)
        each = np.array([rate + one.busy_w - one.idle_w for one in records])
    elif objective == "cost":
        rate = sum(records[d].price_per_hour for d in on)
        each = ones * rate
    return ObjectiveWeights(
        work=dict.fromkeys(PHASES, each), hidden=dict.fromkeys(PHASES, rate), moved=rate, ids=rate
    )


def _used(found: Price) -> list[int]:
    """Return the devices that compute something, or hold something."""
    return [d for d, held in enumerate(found.memory) if held]


def _subsets(count: int) -> Iterator[tuple[int, ...]]:
    for size in range(1, count + 1):
        yield from combinations(range(count), size)


def _only(problem: Problem, on: Collection[int]) -> Problem:
    """Return the problem with no other devices."""
    off = [d for d in range(len(problem.devices)) if d not in on]
    work = {phase: table.copy() for phase, table in problem.work.items()}
    for table in work.values():
        table[:, off] = np.inf
    return replace(problem, work=work)
