"""The placement whose bottleneck is least, by an integer programme; see `stretches`."""

import numpy as np

from alula.runtime.planning.chain import (
    Optimum,
    PlanLimits,
    StateChain,
    States,
    chain_of,
    of_seconds,
)
from alula.runtime.planning.errors import PlanError
from alula.runtime.planning.problem import Problem
from alula.runtime.planning.stretches import StretchProgramme

_BOTTLENECK_S, _SECONDS_S = 8.0, 2.0
"""Seconds in which the least bottleneck is looked for, and the quickest of those that have it;
after that the best that is known is taken, with its gap."""
_EXACT, _NEAR = 1e-7, 1e-3
"""Of the least bottleneck, what is no gap; of the seconds of a request, what need not be saved."""


def least_bottleneck(problem: Problem) -> Optimum | None:
    """Return the placement whose busiest device, or whose links, take least for a request.

    Its gap is of that time. Of placements with the same, it is one of the quickest if nothing moves
    while anything is computed.

    Raises:
        PlanError: no placement was found in the time that a search may take.
    """
    count = len(problem.devices)
    chain = chain_of(problem, of_seconds(count))
    plain = chain.walk(chain.free, chain.backwards(chain.free))
    if plain is None:
        return None
    # Shares of what the quickest placement takes: numbers that a solver likes.
    second = chain.steady(plain) or 1.0
    chain = chain_of(problem, of_seconds(count), PlanLimits(np.full(count, second), second))
    return _least(chain, kept=len(chain.free) - count - 1)


def _least(chain: StateChain, kept: int) -> Optimum | None:
    """Return the optimum of a chain, whose limits but the first `kept` are what is made least."""
    programme = StretchProgramme(chain, limits=kept, straight=chain.straight)
    most = programme.new(1)
    for limit in range(kept, len(chain.free)):
        shares = (one[..., limit] for one in (chain.uses, chain.passing, chain.ending))
        programme.add(-np.inf, 0, *programme.terms(*shares), (most, -1))

    def bottleneck(states: States) -> float:
        used = chain.used(states)
        return float(used[kept:].max()) if chain.holds(used[:kept]) else np.inf

    objective = programme.objective((most, 1))
    states, least = programme.search(objective, _EXACT, bottleneck, _BOTTLENECK_S)
    if states is None:
        if np.isinf(least):
            return None
        raise PlanError(
            "a search for throughput failed: no plan within the devices' memory was found in"
            f" {_BOTTLENECK_S:g} s; pins, or fewer devices, leave fewer"
        )
    taken = bottleneck(states)
    programme.add(-np.inf, taken, (most, 1))
    most_s = taken * (1 + _EXACT)

    def seconds(quick: States) -> float:
        return float(chain.used(quick)[kept:].sum()) if bottleneck(quick) <= most_s else np.inf

    timed = (one[..., kept:].sum(axis=-1) for one in (chain.uses, chain.passing, chain.ending))
    objective = programme.objective(*programme.terms(*timed))
    quick, _ = programme.search(objective, _NEAR, seconds, _SECONDS_S)
    states = states if quick is None else min((states, quick), key=seconds)
    gap = 1 - least / taken if taken > 0 else 0.0
    return Optimum(chain.placement(states), gap if gap > 2 * _EXACT else 0.0)
