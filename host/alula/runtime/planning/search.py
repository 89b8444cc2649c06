"""Placements for many requests at once: the least bottleneck, and the front with the latency."""

from collections.abc import Callable, Iterator

import numpy as np

from alula.runtime.planning.problem import Placement, Price, Problem, price
from alula.runtime.planning.programme import (
    ObjectiveWeights,
    Optimum,
    PlanLimits,
    Undecided,
    cheapest,
    least_limit,
)
from alula.runtime.split import PHASES

_FINE = 1e-6
"""How near the least bottleneck is found, as a share of it."""
_MOST_UNDECIDED = 6
"""Limits of which it is not found out whether a placement is within, before that is the end."""

Bottleneck = Callable[[Price], float]


def least_bottleneck(problem: Problem, bottleneck: Bottleneck) -> Optimum | None:
    """Return the quickest of the placements whose bottleneck is least, to one part in a million.

    Its gap is of the bottleneck.
    """
    found = _within(problem, np.inf)
    if found is None:
        return None
    high = bottleneck(price(problem, found.placement))
    low = proved = min(high, least_limit(problem))
    undecided = 0
    while high - low > _FINE * high and undecided < _MOST_UNDECIDED:
        middle = (low + high) / 2
        try:
            tried = _within(problem, middle, any_will_do=True)
        except Undecided:
            low = middle
            undecided += 1
            continue
        if tried is None:
            low = proved = middle
        else:
            found, high = tried, bottleneck(price(problem, tried.placement))
    quickest = _within(problem, high) or found
    gap = 1 - proved / high
    return Optimum(quickest.placement, gap if gap > 2 * _FINE else 0.0)


def front(problem: Problem, bottleneck: Bottleneck, most: int) -> Iterator[Placement]:
    """Yield placements of ever smaller bottleneck, each the quickest of those with at most that.

    Args:
        problem: what is placed.
        bottleneck: of a price.
        most: placements at most.
    """
    limit = np.inf
    for _ in range(most):
        try:
            found = _within(problem, limit)
        except Undecided:
            return
        if found is None:
            return
        yield found.placement
        limit = bottleneck(price(problem, found.placement)) * (1 - _FINE)


def _within(problem: Problem, limit: float, *, any_will_do: bool = False) -> Optimum | None:
    """Return the quickest placement with at most this bottleneck, or any."""
    count = len(problem.devices)
    ones = dict.fromkeys(PHASES, np.ones(count))
    weights = ObjectiveWeights(work=ones, hidden=dict.fromkeys(PHASES, 1.0), moved=1.0, ids=1.0)
    limits = PlanLimits(np.full(count, limit), limit) if np.isfinite(limit) else None
    return cheapest(problem, weights, limits, any_will_do=any_will_do)
