"""The exact dynamic programme: the cheapest placement of a chain on devices, within its limits.

A state is the pair of devices that a unit has in prefill and in decode: together they say where its
keys and values are made and where they are needed. Without limits a pass backwards finds the
cheapest way. With limits, on memory or on how long a device may be busy, a pass forwards carries
every way that may still win: one is dropped if another that ends in the same state takes no more of
anything, if it cannot stay within a limit, or if what it costs at least is more than a way that is
known. What is left at the end is the optimum.

Where more ways are open than can be carried in a moment, those with the least hope are left behind,
and what the best of them costs at least says how far from the optimum the result may be.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from alula.runtime.planning.errors import PlanError
from alula.runtime.planning.fronts import NEAR, undominated
from alula.runtime.planning.problem import Placement, Problem, Table
from alula.runtime.split import PHASES, Phase

_FEW_WAYS, _MANY_WAYS, _MORE = 1_000, 12_000, 8
"""Ways that the first pass forwards carries, those of the last one, and how many times more each
pass carries than the one before."""
_LEAST_LIMIT = 1e-30
"""Nothing is as small: of a limit of zero anything takes too much."""
_PRICE_STEPS, _MEAN_STEPS = 120, 60
_PATIENCE = 6
"""Steps without a better bound before they become shorter."""
_MOST_WAYS = 96_000
"""Ways that are carried where not even one within the limits is known."""


States = NDArray[np.int64]
"""[units]: the state of each."""


@dataclass(frozen=True)
class ObjectiveWeights:
    """What a second counts in the objective.

    Attributes:
        work: for each phase, of computing on each device.
        hidden: for each phase, of hidden states on their way.
        moved: of keys and values on their way.
        ids: of token ids on their way.
    """

    work: Mapping[Phase, Table]
    hidden: Mapping[Phase, float]
    moved: float
    ids: float


@dataclass(frozen=True)
class PlanLimits:
    """What must not be exceeded besides memory.

    Attributes:
        busy: seconds that each device may compute for a request; inf without limit.
        transfer: seconds that all that crosses may take.
    """

    busy: Table
    transfer: float = np.inf


@dataclass(frozen=True)
class _Chain:
    """The problem as a chain of states, a state being a pair of devices.

    Attributes:
        nodes: [units, states], cost.
        edges: [from, to], cost.
        closing: [first, last], cost.
        uses: [units, states, limits], as a share of each limit.
        passing: [from, to, limits], the same of edges.
        ending: [first, last, limits], the same of what closes; less than 0 for what both hold.
    """

    nodes: Table
    edges: Table
    closing: Table
    uses: Table
    passing: Table
    ending: Table

    @property
    def free(self) -> Table:
        """Prices at which the limits cost nothing."""
        return np.zeros(self.uses.shape[-1])


class Undecided(PlanError):
    """Whether there is a placement at all was not found out."""


@dataclass(frozen=True)
class Optimum:
    """A placement within all limits.

    Attributes:
        placement: it.
        gap: how much less the cheapest may cost at most, as a share of its cost; 0: it is that one.
    """

    placement: Placement
    gap: float


def cheapest(
    problem: Problem,
    weights: ObjectiveWeights,
    limits: PlanLimits | None = None,
    *,
    any_will_do: bool = False,
) -> Optimum | None:
    """Return a placement with the least weighted seconds within all limits; None if there is none.

    Args:
        problem: what is placed.
        weights: what a second counts.
        limits: what must not be exceeded besides memory.
        any_will_do: whether the first placement that is found is enough.

    Raises:
        Undecided: too many ways are open to find one within the limits, or to say that none is.
    """
    chain = _chain(problem, weights, limits)
    plain = _backwards(chain, chain.free)
    best = _walk(chain, chain.free, plain)
    if best is None:
        return None
    if _within(chain, best):
        return Optimum(_placement(problem, best), 0.0)
    prices, known, impossible = _prices(chain, _cost(chain, best))
    if impossible:
        return None
    bounds = [(chain.free, plain), (prices, _backwards(chain, prices))]
    most = _FEW_WAYS
    while known is None or not any_will_do:
        cost = np.inf if known is None else _cost(chain, known)
        found, least = _forwards(chain, bounds, cost, most)
        known = known if found is None else found
        if known is None and np.isinf(least):
            return None
        cost = np.inf if known is None else _cost(chain, known)
        if least >= cost * (1 - NEAR):
            return Optimum(_placement(problem, known), 0.0)
        if known is not None and most >= _MANY_WAYS:
            return Optimum(_placement(problem, known), 1 - least / cost)
        if known is None and most >= (_FEW_WAYS if any_will_do else _MOST_WAYS):
            raise Undecided(
                f"the limits must leave a plan among {most:,} ways, not only beyond; pins, or fewer"
                " devices, leave fewer"
            )
        most = _MANY_WAYS if most < _MANY_WAYS else most * _MORE
    return Optimum(_placement(problem, known), 1.0)


def _chain(problem: Problem, weights: ObjectiveWeights, limits: PlanLimits | None) -> _Chain:
    count = len(problem.devices)
    before, after = (axis.ravel() for axis in np.indices((count, count)))

    def edges(hidden: Mapping[Phase, float]) -> Table:
        prefill, decode = (problem.hops[phase] * hidden[phase] for phase in PHASES)
        return prefill[before[:, None], before] + decode[after[:, None], after]

    work = {phase: problem.work[phase] * weights.work[phase] for phase in PHASES}
    moves = problem.moves[:, before, after]
    ids = problem.ids[before, after[:, None]] + problem.steps * problem.ids[after, after[:, None]]
    runs = {"prefill": _one_hot(before, count), "decode": _one_hot(after, count)}
    holds = runs["prefill"] | runs["decode"]
    states = len(before)
    limited = [
        (
            problem.capacity,
            problem.memory[:, None, :] * holds,
            np.zeros((states, states, count)),
            (holds[:, None] & holds[None]) * -problem.shared,
        )
    ]
    if limits is not None:
        finite = {p: np.where(np.isfinite(problem.work[p]), problem.work[p], 0.0) for p in PHASES}
        computing = np.sum([finite[one][:, None, :] * runs[one] for one in PHASES], axis=0)
        nothing = np.zeros((states, states, count))
        limited.append((limits.busy, computing, nothing, nothing))
        crossing = edges(dict.fromkeys(PHASES, 1.0))
        limited.append(
            (np.array([limits.transfer]), moves[..., None], crossing[..., None], ids[..., None])
        )
    bounds, uses, passing, ending = (
        np.concatenate(parts, axis=-1) for parts in zip(*limited, strict=True)
    )
    finite_ = np.isfinite(bounds)
    bounds = np.maximum(bounds[finite_], _LEAST_LIMIT)
    return _Chain(
        nodes=work["prefill"][:, before] + work["decode"][:, after] + moves * weights.moved,
        edges=edges(weights.hidden),
        closing=ids * weights.ids,
        uses=uses[..., finite_] / bounds,
        passing=passing[..., finite_] / bounds,
        ending=ending[..., finite_] / bounds,
    )


def _one_hot(devices: States, count: int) -> NDArray[np.bool_]:
    return devices[:, None] == np.arange(count)


def _backwards(chain: _Chain, prices: Table) -> Table:
    """Return [units, first, states]: the least that follows a unit in a state.

    What a limit counts is priced too: `prices` is what all that a limit allows costs.
    """
    nodes = chain.nodes + chain.uses @ prices
    edges = chain.edges + chain.passing @ prices
    to_go = np.empty((len(nodes), *chain.closing.shape))
    to_go[-1] = chain.closing + chain.ending @ prices
    for unit in range(len(nodes) - 2, -1, -1):
        after = nodes[unit + 1] + to_go[unit + 1]
        to_go[unit] = (edges[None] + after[:, None, :]).min(axis=-1)
    return to_go


def _walk(chain: _Chain, prices: Table, to_go: Table) -> States | None:
    """Return the cheapest states at these prices, whatever the limits."""
    nodes = chain.nodes + chain.uses @ prices
    edges = chain.edges + chain.passing @ prices
    whole = nodes[0] + np.diagonal(to_go[0])
    first = int(whole.argmin())
    if not np.isfinite(whole[first]):
        return None
    states = [first]
    for unit in range(1, len(nodes)):
        ahead = edges[states[-1]] + nodes[unit] + to_go[unit, first]
        states.append(int(ahead.argmin()))
    return np.array(states)


def _prices(chain: _Chain, least: float) -> tuple[Table, States | None, bool]:
    """Return prices that make the limits cost what they are worth, and a way within them if met.

    At any prices the cheapest way, less the price of all that the limits allow, costs no more than
    the optimum (Lagrange). Polyak's steps along the subgradient make that bound large: larger than
    what any way costs only if none is within the limits, which is the third that is returned.
    """
    most = _most(chain)
    prices = best = chain.free
    known, bound, highest, step, stale = None, np.inf, least, 1.0, 0
    for _ in range(_PRICE_STEPS):
        way = _walk(chain, prices, _backwards(chain, prices))
        assert way is not None
        cost, used = _cost(chain, way), _used(chain, way)
        if (used <= 1 + NEAR).all() and cost < bound:
            known, bound = way, cost
        value = cost + float(prices @ (used - 1))
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


def least_limit(problem: Problem) -> float:
    """Return seconds below which no placement has all its devices and its links together.

    The largest of several times is at least any mean of them: the cheapest way at weights that add
    up to 1 says so much, and weights that grow where a way takes longest make it say more.
    """
    count = len(problem.devices)
    ones = dict.fromkeys(PHASES, np.ones(count))
    weights = ObjectiveWeights(work=ones, hidden=dict.fromkeys(PHASES, 1.0), moved=1.0, ids=1.0)
    chain = _chain(problem, weights, PlanLimits(np.ones(count), 1.0))
    chain = replace(
        chain,
        nodes=np.where(np.isfinite(chain.nodes), 0.0, np.inf),
        edges=np.zeros_like(chain.edges),
        closing=np.zeros_like(chain.closing),
    )
    timed = np.arange(len(chain.free)) >= len(chain.free) - count - 1
    prices, highest = np.where(timed, 1 / (count + 1), 0.0), 0.0
    for step in range(1, _MEAN_STEPS + 1):
        way = _walk(chain, prices, _backwards(chain, prices))
        if way is None:
            return np.inf
        used = _used(chain, way)
        value = float(prices @ used - prices[~timed].sum())
        highest = max(highest, value)
        rate, longest = step**-0.5, used[timed].max()
        grown = prices * np.exp(rate * np.where(timed, used / longest, 0.0))
        fuller = np.maximum(0.0, prices + rate * longest * (used - 1))
        prices = np.where(timed, grown / grown[timed].sum(), fuller)
    return highest


def _most(chain: _Chain) -> float:
    """Return what no way costs more than."""
    nodes = np.where(np.isfinite(chain.nodes), chain.nodes, 0.0).max(axis=1).sum()
    return float(nodes + (len(chain.nodes) - 1) * chain.edges.max() + chain.closing.max())


def _forwards(
    chain: _Chain, bounds: list[tuple[Table, Table]], bound: float, most: int
) -> tuple[States | None, float]:
    """Return the cheapest states that are found, and what any that were left behind cost at least.

    Args:
        chain: what is to be placed.
        bounds: prices, and what follows at least at these.
        bound: ways that cost this or more are of no use.
        most: ways that are carried from a unit to the next.

    Returns:
        States within the limits, None if none cost less than `bound`; inf if none was left behind.
    """
    count, resources = len(chain.closing), len(chain.free)
    least = [_least_use(chain, one) for one in range(resources)]
    first = last = np.arange(count)
    cost, used = chain.nodes[0], chain.uses[0]
    origin = first
    history: list[tuple[States, States]] = []
    behind = np.inf
    for unit in range(len(chain.nodes)):
        if unit:
            ahead = cost[:, None] + chain.edges[last] + chain.nodes[unit]
            origin, going = np.nonzero(np.isfinite(ahead))
            came, last = last[origin], going
            cost, first = ahead[origin, last], first[origin]
            used = used[origin] + chain.passing[came, last] + chain.uses[unit][last]
        hope = np.max(
            [cost + used @ p - p.sum() + to_go[unit, first, last] for p, to_go in bounds], axis=0
        )
        fullest = np.max(
            [used[:, one] + least[one][unit, first, last] for one in range(resources)], axis=0
        )
        ways = np.flatnonzero((hope < bound * (1 - NEAR)) & (fullest <= 1 + NEAR))
        if len(ways) > most:
            ways, left = _best(ways, hope, fullest, most)
            behind = min(behind, hope[left].min())
        rows = np.concatenate([cost[ways, None], used[ways]], axis=1)
        ways = ways[undominated(first[ways] * count + last[ways], rows)]
        first, last, cost, used = first[ways], last[ways], cost[ways], used[ways]
        history.append((origin[ways], last))
    if not len(cost):
        return None, behind
    way = int((cost + chain.closing[first, last]).argmin())
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


def _least_use(chain: _Chain, one: int) -> Table:
    """Return [units, first, states]: the least of a limit's share that follows."""
    share = replace(
        chain,
        nodes=np.where(np.isfinite(chain.nodes), chain.uses[..., one], np.inf),
        edges=chain.passing[..., one],
        closing=chain.ending[..., one],
    )
    return _backwards(share, chain.free)


def _within(chain: _Chain, states: States) -> bool:
    return bool((_used(chain, states) <= 1 + NEAR).all())


def _used(chain: _Chain, states: States) -> Table:
    """Return the share of each limit that a way uses."""
    used = chain.uses[np.arange(len(states)), states].sum(axis=0)
    passing = chain.passing[states[:-1], states[1:]].sum(axis=0)
    return used + passing + chain.ending[states[0], states[-1]]


def _cost(chain: _Chain, states: States) -> float:
    nodes = chain.nodes[np.arange(len(states)), states].sum()
    edges = chain.edges[states[:-1], states[1:]].sum()
    return float(nodes + edges + chain.closing[states[0], states[-1]])


def _placement(problem: Problem, states: States | None) -> Placement:
    assert states is not None
    count = len(problem.devices)
    return {"prefill": (states // count).tolist(), "decode": (states % count).tolist()}
