"""The cheapest way through a chain within its limits, by an integer programme; see `stretches`.

What is waited for depends on the order in which units leave their keys and values. The programme
counts what the last segment holds until its end, and all that moves beyond what may hide it: that
is what is waited, but where an earlier segment's are still on their way.
"""

from dataclasses import replace

import numpy as np

from alula.runtime.planning.chain import StateChain, States, StreamedStates
from alula.runtime.planning.problem import Table
from alula.runtime.planning.stretches import StretchProgramme

_EXACT = 1e-9
"""Of the least cost, what a solver need not save."""


def least_cost(chain: StateChain, limit_s: float, *, busy: bool) -> tuple[States | None, float]:
    """Return a way within all limits, and what any such way costs at least.

    The way is the cheapest if it costs no more than that. None and inf if there is none; None if
    none was found in time.

    Args:
        chain: what is placed.
        limit_s: seconds that it may take.
        busy: whether there are limits besides memory: then the least way is a longer one.
    """
    states, streamed = len(chain.closing), chain.streamed
    limits = len(chain.free)
    if streamed is None:
        programme = StretchProgramme(
            chain,
            limits=limits,
            straight=chain.straight_is_cheapest,
            tables=[chain.nodes],
            connected=busy,
        )
        objective = programme.objective(*programme.terms(chain.nodes, chain.edges, chain.closing))
        return programme.search(objective, _EXACT, lambda way: _cost(chain, way), limit_s)
    held = _held(streamed)
    surplus = np.tile(streamed.moved - streamed.covered, 2)
    told = _ending(chain, held)
    programme = StretchProgramme(
        told,
        limits=limits,
        straight=chain.straight_is_cheapest,
        tables=[told.nodes, surplus],
        connected=busy,
    )
    earlier, late = programme.new(1), programme.new(1)
    programme.add(-np.inf, 0, *programme.terms(surplus), (earlier, -1))
    programme.add(-np.inf, 0, *programme.terms(surplus - held), (late, -1))
    each = streamed.price / streamed.pieces
    objective = programme.objective(
        *programme.terms(told.nodes, told.edges, told.closing),
        (earlier, each * (streamed.pieces - 1)),
        (late, each),
    )
    way, least = programme.search(
        objective, _EXACT, lambda way: _cost(chain, way % states), limit_s
    )
    return None if way is None else way % states, least


def _cost(chain: StateChain, way: States) -> float:
    return chain.cost(way) if chain.within(way) else np.inf


def _held(streamed: StreamedStates) -> Table:
    """Return [units, states twice]: what is still held when the last unit has been computed.

    The second time it is a unit of the last segment, which hands out all at its end or, by layer,
    the last unit's.
    """
    whole = np.where(streamed.by_layer, 0.0, streamed.moved)
    held = np.concatenate([np.zeros_like(whole), whole], axis=1)
    held[-1] += np.tile(np.where(streamed.by_layer, streamed.moved[-1], 0.0), 2)
    return held


def _ending(chain: StateChain, held: Table) -> StateChain:
    """Return a chain of twice the states: those of the last segment are states of their own.

    A segment is of units with the same device in prefill. The last begins where that changes, or
    with the first unit, and costs what it holds.
    """
    assert chain.streamed is not None
    states = len(chain.closing)
    device = np.arange(states) // chain.devices
    same = device[:, None] == device
    never = np.full((states, states), np.inf)
    edges = np.block(
        [
            [chain.edges, np.where(same, np.inf, chain.edges)],
            [never, np.where(same, chain.edges, np.inf)],
        ]
    )
    closing = np.tile(chain.closing, (2, 2))
    closing[:, :states] = np.inf
    return replace(
        chain,
        nodes=np.tile(chain.nodes, 2) + chain.streamed.price / chain.streamed.pieces * held,
        edges=edges,
        closing=closing,
        uses=np.tile(chain.uses, (1, 2, 1)),
        passing=np.tile(chain.passing, (2, 2, 1)),
        ending=np.tile(chain.ending, (2, 2, 1)),
        streamed=None,
    )
