"""The problem as a chain of states: what each costs and takes, and the cheapest way through it.

A state is the pair of devices that a unit has in prefill and in decode: together they say where its
keys and values are made and where they are needed.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from alula.runtime.planning.fronts import NEAR
from alula.runtime.planning.handover import Backlog, Flags
from alula.runtime.planning.problem import Placement, Problem, Table
from alula.runtime.split import PHASES, Phase

_LEAST_LIMIT = 1e-30
"""Nothing is as small: of a limit of zero anything takes too much."""

States = NDArray[np.int64]
"""[units]: the state of each."""


@dataclass(frozen=True)
class ObjectiveWeights:
    """What a second counts in the objective.

    Attributes:
        work: for each phase, of computing on each device.
        hidden: for each phase, of hidden states on their way.
        moved: of waiting for keys and values.
        ids: of token ids on their way.
    """

    work: Mapping[Phase, Table]
    hidden: Mapping[Phase, float]
    moved: float
    ids: float


def of_seconds(devices: int) -> ObjectiveWeights:
    """Return weights by which a second is a second."""
    ones = dict.fromkeys(PHASES, np.ones(devices))
    return ObjectiveWeights(work=ones, hidden=dict.fromkeys(PHASES, 1.0), moved=1.0, ids=1.0)


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
class Optimum:
    """A placement within all limits.

    Attributes:
        placement: it.
        gap: how much less the cheapest may cost at most, as a share of its cost; 0: it is that one.
    """

    placement: Placement
    gap: float


@dataclass(frozen=True)
class StreamedStates:
    """What moves under the prefill, by state.

    Attributes:
        pieces: of the prompt.
        price: of a second that is waited.
        moved: [units, states], seconds.
        covered: [units, states], seconds of computing under which something may move.
        by_layer: [states]; see `Streaming`.
    """

    pieces: int
    price: float
    moved: Table
    covered: Table
    by_layer: Flags


@dataclass(frozen=True)
class StateChain:
    """The problem as a chain of states.

    Attributes:
        devices: how many; a state is that of prefill times this and that of decode.
        nodes: [units, states], cost; inf where a unit may not run.
        edges: [from, to], cost.
        closing: [first, last], cost.
        uses: [units, states, limits], as a share of each limit.
        passing: [from, to, limits], the same of edges.
        ending: [first, last, limits], the same of what closes; less than 0 for what both hold.
        streamed: what is waited for besides; None if keys and values move whole, as `nodes` has it.
    """

    devices: int
    nodes: Table
    edges: Table
    closing: Table
    uses: Table
    passing: Table
    ending: Table
    streamed: StreamedStates | None = None

    @property
    def free(self) -> Table:
        """Prices at which the limits cost nothing."""
        return np.zeros(self.uses.shape[-1])

    @property
    def straight(self) -> bool:
        """Whether no way around takes less of anything than from state to state.

        Then no state need be left and come back to among units that are alike: what ran there the
        second time may run there the first time. What the first and the last unit of all have
        between them does not change with it if each is unlike its neighbour.
        """
        return _is_straight(self.passing)

    @property
    def straight_is_cheapest(self) -> bool:
        """Whether no way around costs less, either."""
        return self.straight and _is_straight(self.edges)

    def backwards(self, prices: Table) -> Table:
        """Return [units, first, states]: the least that follows a unit in a state, but for waiting.

        What a limit counts is priced too: `prices` is what all that a limit allows costs.
        """
        nodes = self.nodes + self.uses @ prices
        edges = self.edges + self.passing @ prices
        to_go = np.empty((len(nodes), *self.closing.shape))
        to_go[-1] = self.closing + self.ending @ prices
        for unit in range(len(nodes) - 2, -1, -1):
            after = nodes[unit + 1] + to_go[unit + 1]
            to_go[unit] = (edges[None] + after[:, None, :]).min(axis=-1)
        return to_go

    def walk(self, prices: Table, to_go: Table) -> States | None:
        """Return the cheapest states at these prices, whatever the limits and the waiting."""
        nodes = self.nodes + self.uses @ prices
        edges = self.edges + self.passing @ prices
        whole = nodes[0] + np.diagonal(to_go[0])
        first = int(whole.argmin())
        if not np.isfinite(whole[first]):
            return None
        states = [first]
        for unit in range(1, len(nodes)):
            ahead = edges[states[-1]] + nodes[unit] + to_go[unit, first]
            states.append(int(ahead.argmin()))
        return np.array(states)

    def within(self, states: States) -> bool:
        """Whether a way is within all limits."""
        return self.holds(self.used(states))

    @staticmethod
    def holds(used: Table) -> bool:
        """Whether shares of limits are not exceeded."""
        return bool((used <= 1 + NEAR).all())

    def used(self, states: States) -> Table:
        """Return the share of each limit that a way uses."""
        used = self.uses[np.arange(len(states)), states].sum(axis=0)
        passing = self.passing[states[:-1], states[1:]].sum(axis=0)
        return used + passing + self.ending[states[0], states[-1]]

    def steady(self, states: States) -> float:
        """Return what a way costs without waiting."""
        nodes = self.nodes[np.arange(len(states)), states].sum()
        edges = self.edges[states[:-1], states[1:]].sum()
        return float(nodes + edges + self.closing[states[0], states[-1]])

    def cost(self, states: States) -> float:
        """Return what a way costs."""
        if self.streamed is None:
            return self.steady(states)
        backlog = Backlog.empty(1)
        for unit, state in enumerate(states):
            before = states[max(0, unit - 1)]
            backlog = self.next_backlog(backlog, unit, before[None], state[None])
        waited = backlog.waited(self.streamed.pieces)[0]
        return self.steady(states) + self.streamed.price * float(waited)

    def next_backlog(self, backlog: Backlog, unit: int, before: States, here: States) -> Backlog:
        """Return what is left to move of several ways after a unit.

        Args:
            backlog: before it.
            unit: its number.
            before: the state of the unit before it in each way.
            here: its own.
        """
        assert self.streamed is not None
        return backlog.after(
            begins=before // self.devices != here // self.devices,
            covered=self.streamed.covered[unit, here],
            moved=self.streamed.moved[unit, here],
            by_layer=self.streamed.by_layer[here],
        )

    def unhidden(self) -> "StateChain":
        """Return a chain that costs no more: all computing hides something that moves.

        What is waited is at least what moves less what it may move under, which is a sum.
        """
        assert self.streamed is not None
        surplus = self.streamed.moved - self.streamed.covered
        return replace(self, nodes=self.nodes + self.streamed.price * surplus)

    def placement(self, states: States) -> Placement:
        """Return what a way says."""
        return {
            "prefill": (states // self.devices).tolist(),
            "decode": (states % self.devices).tolist(),
        }


def chain_of(
    problem: Problem, weights: ObjectiveWeights, limits: PlanLimits | None = None
) -> StateChain:
    """Return a problem as a chain; what is not limited is left out of its limits."""
    count = len(problem.devices)
    before, after = (axis.ravel() for axis in np.indices((count, count)))
    work = {phase: _weighted(problem.work[phase], weights.work[phase]) for phase in PHASES}
    moves = problem.moves[:, before, after]
    nodes = work["prefill"][:, before] + work["decode"][:, after]
    streamed = None
    if problem.streaming is not None and weights.moved:
        covered = problem.covered[:, before]
        by_layer = problem.streaming.by_layer[before]
        pieces = problem.streaming.pieces
        streamed = StreamedStates(pieces, weights.moved, moves, covered, by_layer)
    else:
        nodes = nodes + moves * weights.moved
    ids = problem.ids[before, after[:, None]] + problem.steps * problem.ids[after, after[:, None]]
    uses, passing, ending = _limited(problem, limits, before, after, ids)
    return StateChain(
        devices=count,
        nodes=nodes,
        edges=_edges(problem, weights.hidden, before, after),
        closing=ids * weights.ids,
        uses=uses,
        passing=passing,
        ending=ending,
        streamed=streamed,
    )


def _weighted(work: Table, weights: Table) -> Table:
    """Return work by its weights; a weight of 0 lets no unit run where it may not."""
    may = np.isfinite(work)
    return np.where(may, np.where(may, work, 0.0) * weights, np.inf)


def _limited(
    problem: Problem, limits: PlanLimits | None, before: States, after: States, ids: Table
) -> tuple[Table, Table, Table]:
    """Return what nodes, edges and closing take of every limit there is, as shares."""
    count, states = len(problem.devices), len(before)
    runs = {"prefill": _one_hot(before, count), "decode": _one_hot(after, count)}
    holds = runs["prefill"] | runs["decode"]
    nothing = np.zeros((states, states, count))
    limited = [
        (
            problem.capacity,
            problem.memory[:, None, :] * holds,
            nothing,
            (holds[:, None] & holds[None]) * -problem.shared,
        )
    ]
    if limits is not None:
        finite = {p: np.where(np.isfinite(problem.work[p]), problem.work[p], 0.0) for p in PHASES}
        computing = np.sum([finite[one][:, None, :] * runs[one] for one in PHASES], axis=0)
        limited.append((limits.busy, computing, nothing, nothing))
        moves = problem.moves[:, before, after]
        crossing = _edges(problem, dict.fromkeys(PHASES, 1.0), before, after)
        limited.append(
            (np.array([limits.transfer]), moves[..., None], crossing[..., None], ids[..., None])
        )
    bounds, *shares = (np.concatenate(parts, axis=-1) for parts in zip(*limited, strict=True))
    finite_ = np.isfinite(bounds)
    bounds = np.maximum(bounds[finite_], _LEAST_LIMIT)
    uses, passing, ending = (share[..., finite_] / bounds for share in shares)
    return uses, passing, ending


def _edges(problem: Problem, hidden: Mapping[Phase, float], before: States, after: States) -> Table:
    """Return [from, to]: what hidden states cost that cross from a state to another."""
    prefill, decode = (problem.hops[phase] * hidden[phase] for phase in PHASES)
    return prefill[before[:, None], before] + decode[after[:, None], after]


def _is_straight(table: Table) -> bool:
    """Whether [from, to, ...] is never more than by way of another state."""
    around = table[:, :, None] + table[None]
    return bool((table[:, None] <= around + NEAR).all())


def _one_hot(devices: States, count: int) -> NDArray[np.bool_]:
    return devices[:, None] == np.arange(count)
