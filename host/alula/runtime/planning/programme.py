"""The exact dynamic programme: the cheapest placement of a chain on devices, within its limits.

Without limits, and where nothing is waited for, a pass backwards over the states finds
the cheapest way. Else a pass forwards carries every way that may still win: one is dropped if
another that ends in the same state costs no more, takes no more of anything and has no more left to
move, if it cannot stay within a limit, or if what it costs at least is more than a way that is
known. What is left at the end is the optimum.

Where more ways are open than can be carried in a moment, an integer programme, in which units that
are alike count as one, finds the optimum. If it cannot, or not in time, those ways with the least
hope are left behind, and what the best of them costs at least says how far from the optimum the
result may be.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from alula.runtime.planning.chain import (
    ObjectiveWeights,
    Optimum,
    PlanLimits,
    StateChain,
    States,
    chain_of,
)
from alula.runtime.planning.errors import PlanError
from alula.runtime.planning.fronts import NEAR, undominated
from alula.runtime.planning.handover import Backlog
from alula.runtime.planning.least_cost import least_cost
from alula.runtime.planning.problem import Problem, Table

_FEW_WAYS, _MANY_WAYS = 1_000, 12_000
"""Ways that are carried forwards before the integer programme, and after it if it did not do."""
SOLVER_S = 4.0
"""Seconds that the integer programme may take by default."""
_SOLVED_DEVICES = 5
"""Of more than so many devices it ends in no such time: it is asked only if nothing else is known.
"""
_EXACT = 1e-6
"""Of a cost, what no solver tells apart."""
_PRICE_STEPS = 120
_PATIENCE = 6
"""Steps without a better bound before they become shorter."""


_Step = tuple[Callable[[float], tuple[States | None, float]], float]
"""What looks for a way that costs less and says what any costs at least, and how exactly it does.
"""


@dataclass(frozen=True)
class _Bound:
    """What a way costs at least: a chain that costs no more, at prices of the limits.

    Attributes:
        chain: it.
        surplus: what a second costs by it that moves more than computing covers.
        prices: of all that each limit allows.
        to_go: see `StateChain.backwards`.
    """

    chain: StateChain
    surplus: float
    prices: Table
    to_go: Table

    def walk(self) -> States | None:
        """Return the way that costs least by it."""
        return self.chain.walk(self.prices, self.to_go)


def _bounds(chain: StateChain, prices: Table) -> list[_Bound]:
    """Return bounds at these prices, the first of which waits for nothing."""
    found = [_Bound(chain, 0.0, prices, chain.backwards(prices))]
    if chain.streamed is not None:
        other = chain.unhidden()
        found.append(_Bound(other, chain.streamed.price, prices, other.backwards(prices)))
    return found


def cheapest(
    problem: Problem,
    weights: ObjectiveWeights,
    limits: PlanLimits | None = None,
    *,
    solver_s: float = SOLVER_S,
) -> Optimum | None:
    """Return a placement with the least weighted seconds within all limits; None if there is none.

    Args:
        problem: what is placed.
        weights: what a second counts.
        limits: what must not be exceeded besides memory.
        solver_s: seconds that the integer programme may take.

    Raises:
        PlanError: too many ways are open to find one within the limits, or to say that none is.
    """
    chain = chain_of(problem, weights, limits)
    bounds = _bounds(chain, chain.free)
    walks = [one.walk() for one in bounds]
    ways = [way for way in walks if way is not None]
    if not ways:
        return None
    least = max(one.chain.steady(way) for one, way in zip(bounds, ways, strict=True))
    known = min((way for way in ways if chain.within(way)), key=chain.cost, default=None)
    if known is not None and chain.cost(known) <= least * (1 + NEAR):
        return Optimum(chain.placement(known), 0.0)
    if not all(map(chain.within, ways)):
        prices, found, impossible = _prices(chain, ways[0])
        if impossible:
            return None
        ways = [way for way in (known, found) if way is not None]
        known = min(ways, key=chain.cost, default=None)
        bounds += _bounds(chain, prices)
    least = -np.inf
    few: _Step = lambda cost: _forwards(chain, bounds, cost, _FEW_WAYS), NEAR
    many: _Step = lambda cost: _forwards(chain, bounds, cost, _MANY_WAYS), NEAR
    solver: _Step = lambda _: least_cost(chain, solver_s, busy=limits is not None), _EXACT
    solved = chain.devices <= _SOLVED_DEVICES
    for step, near in (few, solver, many) if solved else (few, many, solver):
        if step is solver[0] and not solved and known is not None:
            break
        found, bound = step(np.inf if known is None else chain.cost(known))
        ways = [way for way in (known, found) if way is not None]
        known = min(ways, key=chain.cost, default=None)
        least = max(least, bound)
        if known is None and np.isinf(least) and least > 0:
            return None
        if known is not None and least >= chain.cost(known) * (1 - near):
            return Optimum(chain.placement(known), 0.0)
    if known is None:
        raise PlanError(
            f"the limits must leave a plan among {_MANY_WAYS:,} ways, not only beyond; pins, or"
            " fewer devices, leave fewer"
        )
    return Optimum(chain.placement(known), 1 - least / chain.cost(known))


def _prices(chain: StateChain, cheapest: States) -> tuple[Table, States | None, bool]:
    """Return prices that make the limits cost what they are worth, and a way within them if met.

    At any prices the cheapest way, less the price of all that the limits allow, costs no more than
    the optimum (Lagrange). Polyak's steps along the subgradient make that bound large: larger than
    what any way costs only if none is within the limits, which is the third that is returned.

    Args:
        chain: what is placed.
        cheapest: the cheapest way without limits, but for waiting.
    """
    most = _most(chain)
    prices = best = chain.free
    known, bound, highest, step, stale = None, np.inf, chain.steady(cheapest), 1.0, 0
    for _ in range(_PRICE_STEPS):
        way = chain.walk(prices, chain.backwards(prices))
        assert way is not None
        used = chain.used(way)
        if (used <= 1 + NEAR).all() and chain.cost(way) < bound:
            known, bound = way, chain.cost(way)
        value = chain.steady(way) + float(prices @ (used - 1))
        stale += 1
        if value > most * (1 + NEAR):
            return prices, None, True
        if value > highest * (1 + NEAR):
            best, highest, stale = prices, value, 0
        elif stale == _PATIENCE:
            step, stale = step / 2, 0
        over = used - 1
        aim = min(bound, 1.05 * highest + NEAR)
        length = float(over @ over)
        if not length or aim <= value:
            break
        prices = np.maximum(0.0, prices + step * (aim - value) / length * over)
    return best, known, False


def _most(chain: StateChain) -> float:
    """Return what no way costs more than, but for waiting."""
    nodes = np.where(np.isfinite(chain.nodes), chain.nodes, 0.0).max(axis=1).sum()
    return float(nodes + (len(chain.nodes) - 1) * chain.edges.max() + chain.closing.max())


@dataclass(frozen=True)
class _Ways:
    """Ways up to a unit.

    Attributes:
        first: [ways], the state of the first unit.
        last: [ways], that of the last.
        cost: [ways], without waiting.
        used: [ways, limits], shares.
        backlog: what is left to move; None if nothing is streamed.
    """

    first: States
    last: States
    cost: Table
    used: Table
    backlog: Backlog | None

    def __getitem__(self, chosen: States) -> "_Ways":
        backlog = None if self.backlog is None else self.backlog[chosen]
        return _Ways(
            self.first[chosen], self.last[chosen], self.cost[chosen], self.used[chosen], backlog
        )


def _begun(chain: StateChain) -> _Ways:
    """Return the ways up to the first unit."""
    states = np.arange(len(chain.closing))
    backlog = None
    if chain.streamed is not None:
        backlog = chain.next_backlog(Backlog.empty(len(states)), 0, states, states)
    return _Ways(states, states, chain.nodes[0], chain.uses[0], backlog)


def _longer(chain: StateChain, ways: _Ways, unit: int) -> tuple[_Ways, States]:
    """Return the ways up to one more unit, and which way each of them goes on."""
    ahead = ways.cost[:, None] + chain.edges[ways.last] + chain.nodes[unit]
    origin, last = np.nonzero(np.isfinite(ahead))
    from_ = ways[origin]
    backlog = from_.backlog
    if backlog is not None:
        backlog = chain.next_backlog(backlog, unit, from_.last, last)
    used = from_.used + chain.passing[from_.last, last] + chain.uses[unit][last]
    return _Ways(from_.first, last, ahead[origin, last], used, backlog), origin


def _columns(chain: StateChain, ways: _Ways) -> Table:
    """Return [ways, columns]: a way that has no less of any never costs less in the end."""
    columns = [ways.cost[:, None], ways.used]
    if chain.streamed is not None:
        assert ways.backlog is not None
        outlooks = ways.backlog.outlooks(chain.streamed.pieces)
        columns.append(ways.cost[:, None] + chain.streamed.price * outlooks)
    return np.concatenate(columns, axis=1)


def _hope(bounds: list[_Bound], ways: _Ways, unit: int) -> Table:
    """Return [ways]: what each costs at least."""
    found = []
    for one in bounds:
        cost = ways.cost
        if ways.backlog is not None and one.surplus:
            cost = cost + one.surplus * ways.backlog.surplus
        rest = one.to_go[unit, ways.first, ways.last]
        found.append(cost + ways.used @ one.prices - one.prices.sum() + rest)
    return np.max(found, axis=0)


def _forwards(
    chain: StateChain, bounds: list[_Bound], bound: float, most: int
) -> tuple[States | None, float]:
    """Return the cheapest states that are found, and what any that were left behind cost at least.

    Args:
        chain: what is to be placed.
        bounds: what ways cost at least; the first is of the chain itself.
        bound: ways that cost this or more are of no use.
        most: ways that are carried from a unit to the next.

    Returns:
        States within the limits, None if none cost less than `bound`; inf if none was left behind.
    """
    count, resources = len(chain.closing), len(chain.free)
    least = [_least_use(chain, one) for one in range(resources)]
    ways, origin = _begun(chain), np.arange(count)
    history: list[tuple[States, States]] = []
    behind = np.inf
    for unit in range(len(chain.nodes)):
        if unit:
            ways, origin = _longer(chain, ways, unit)
        hope = _hope(bounds, ways, unit)
        fullest = np.zeros(len(ways.cost))
        for one in range(resources):
            rest = least[one][unit, ways.first, ways.last]
            fullest = np.maximum(fullest, ways.used[:, one] + rest)
        open_ = np.flatnonzero((hope < bound * (1 - NEAR)) & (fullest <= 1 + NEAR))
        if len(open_) > most:
            open_, left = _best(open_, hope, fullest, most)
            behind = min(behind, hope[left].min())
        some = ways[open_]
        kept = undominated(some.first * count + some.last, _columns(chain, some))
        ways = some[kept]
        history.append((origin[open_[kept]], ways.last))
    if not len(ways.cost):
        return None, behind
    whole = ways.cost + chain.closing[ways.first, ways.last]
    if chain.streamed is not None:
        assert ways.backlog is not None
        whole = whole + chain.streamed.price * ways.backlog.waited(chain.streamed.pieces)
    way = int(whole.argmin())
    if whole[way] >= bound:
        return None, behind
    found = []
    for origin, last in reversed(history):
        found.append(last[way])
        way = origin[way]
    return np.array(found[::-1]), behind


def _best(ways: States, hope: Table, fullest: Table, most: int) -> tuple[States, States]:
    """Return so many ways, and the others: most have the best hope, some the most room."""
    roomy = most // 4
    order = np.argsort(hope[ways], kind="stable")
    ways = ways[order]
    chosen, rest = ways[: most - roomy], ways[most - roomy :]
    order = np.argsort(fullest[rest], kind="stable")
    return np.concatenate([chosen, rest[order[:roomy]]]), rest[order[roomy:]]


def _least_use(chain: StateChain, one: int) -> Table:
    """Return [units, first, states]: the least of a limit's share that follows."""
    share = replace(
        chain,
        nodes=np.where(np.isfinite(chain.nodes), chain.uses[..., one], np.inf),
        edges=chain.passing[..., one],
        closing=chain.ending[..., one],
    )
    return share.backwards(chain.free)
