"""Placements for many requests at once: the least bottleneck, and the front with the latency."""

from collections.abc import Callable, Iterator

import numpy as np

from alula.runtime.planning.problem import Placement, Price, Problem, price
from alula.runtime.planning.programme import ObjectiveWeights, PlanLimits, cheapest
from alula.runtime.split import PHASES

_FINE = 1e-6
"""How near the least bottleneck is found, as a share of it."""

Bottleneck = Callable[[Price], float]


def least_bottleneck(problem: Problem, bottleneck: Bottleneck) -> Placement | None:
    """Return the quickest of the placements whose bottleneck is least, to one part in a million."""
    found = _within(problem, np.inf)
    if found is None:
        return None
    high, low = bottleneck(price(problem, found)), 0.0
    while high - low > _FINE * high:
        middle = (low + high) / 2
        tried = _within(problem, middle)
        if tried is None:
            low = middle
        else:
            found, high = tried, bottleneck(price(problem, tried))
    return found


def front(problem: Problem, bottleneck: Bottleneck, most: int) -> Iterator[Placement]:
    """Yield placements of ever smaller bottleneck, each the quickest of those with at most that.

    Args:
        problem: what is placed.
        bottleneck: of a price.
        most: placements at most.
    """
    limit = np.inf
    for _ in range(most):
        found = _within(problem, limit)
        if found is None:
            return
        yield found
        limit = bottleneck(price(problem, found)) * (1 - _FINE)


def _within(problem: Problem, limit: float) -> Placement | None:
    """Return the quickest placement with at most this bottleneck."""
    count = len(problem.devices)
    ones = dict.fromkeys(PHASES, np.ones(count))
    weights = ObjectiveWeights(work=ones, hidden=dict.fromkeys(PHASES, 1.0), moved=1.0, ids=1.0)
    limits = PlanLimits(np.full(count, limit), limit) if np.isfinite(limit) else None
    return cheapest(problem, weights, limits)
