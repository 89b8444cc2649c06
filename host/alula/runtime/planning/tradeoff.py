"""The front of latency and throughput: placements that no other beats in both."""

from collections.abc import Callable, Iterator

import numpy as np

from alula.runtime.planning.chain import PlanLimits, of_seconds
from alula.runtime.planning.problem import Placement, Price, Problem, price
from alula.runtime.planning.programme import Undecided, cheapest

_FINE = 1e-6
"""How much less than another's a bottleneck must be to be less, as a share of it."""

Bottleneck = Callable[[Price], float]


def front(problem: Problem, bottleneck: Bottleneck, most: int) -> Iterator[Placement]:
    """Yield placements of ever smaller bottleneck, each the quickest of those with at most that.

    Args:
        problem: what is placed.
        bottleneck: of a price.
        most: placements at most.
    """
    count = len(problem.devices)
    limits = None
    for _ in range(most):
        try:
            found = cheapest(problem, of_seconds(count), limits)
        except Undecided:
            return
        if found is None:
            return
        yield found.placement
        limit = bottleneck(price(problem, found.placement)) * (1 - _FINE)
        limits = PlanLimits(np.full(count, limit), limit)
