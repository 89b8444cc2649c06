"""The front of latency and throughput: placements that no other beats in both."""

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from alula.runtime.planning.bottleneck import least_bottleneck
from alula.runtime.planning.chain import Optimum, PlanLimits, of_seconds
from alula.runtime.planning.errors import PlanError
from alula.runtime.planning.problem import Price, Problem, price
from alula.runtime.planning.programme import cheapest

_FINE = 1e-6
"""How much less than another's a bottleneck must be to be less, as a share of it."""
_QUESTIONS = 2
"""Placements that are looked for, for each that is wanted."""
_SOLVER_S = 1.0
"""Seconds that an integer programme may take for one."""

Bottleneck = Callable[[Price], float]


@dataclass(frozen=True)
class _Gap:
    """Bottlenecks between which placements may be.

    Attributes:
        high: the larger.
        low: the smaller.
        near: whether the next placement below `high` is asked for, not one in the middle.
    """

    high: float
    low: float
    near: bool

    @property
    def width(self) -> float:
        """How many times the smaller the larger is."""
        return self.high / self.low if self.low else math.inf

    @property
    def limit(self) -> float:
        """The largest bottleneck that is asked for."""
        return self.high * (1 - _FINE) if self.near else math.sqrt(self.high * self.low)


def front(problem: Problem, bottleneck: Bottleneck, most: int) -> list[Optimum]:
    """Return placements of ever smaller bottleneck, each the quickest of those with at most that.

    The first is the quickest of all, the last has the least bottleneck. If there are more than
    may be returned, those between are spread evenly by their bottlenecks.

    Args:
        problem: what is placed.
        bottleneck: of a price.
        most: placements at most.
    """
    count = len(problem.devices)
    found: dict[float, Optimum] = {}

    def ask(limit: float) -> float | None:
        """Find the quickest placement within a limit, and return its bottleneck."""
        limits = PlanLimits(np.full(count, limit), limit)
        try:
            quickest = cheapest(problem, of_seconds(count), limits, solver_s=_SOLVER_S)
        except PlanError:
            return None
        if quickest is None:
            return None
        taken = bottleneck(price(problem, quickest.placement))
        found.setdefault(taken, quickest)
        return taken

    high = ask(np.inf)
    try:
        least = None if high is None else least_bottleneck(problem)
    except PlanError:
        least = None
    if high is None or least is None:
        return list(found.values())
    low = ask(bottleneck(price(problem, least.placement)) * (1 + _FINE))
    gaps = [] if low is None else [_Gap(high, low, near=False)]
    for _ in range(_QUESTIONS * most):
        if len(found) >= most or not gaps:
            break
        gap = max(gaps, key=lambda one: one.width)
        gaps.remove(gap)
        if gap.limit <= gap.low * (1 + _FINE):
            continue
        taken = ask(gap.limit)
        if taken is not None and taken > gap.low * (1 + _FINE):
            gaps.append(_Gap(taken, gap.low, near=False))
        if not gap.near:
            gaps.append(_Gap(gap.high, gap.limit, near=True))
    return _unbeaten(problem, found)[:most]


def _unbeaten(problem: Problem, found: dict[float, Optimum]) -> list[Optimum]:
    """Return placements, by their bottlenecks, that none of less is as quick as."""
    kept, least = list[Optimum](), np.inf
    for _, one in sorted(found.items()):
        seconds = price(problem, one.placement).total_s
        if seconds < least * (1 - _FINE * _FINE):
            kept.append(one)
            least = seconds
    return kept[::-1]
