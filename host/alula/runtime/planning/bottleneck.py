"""The placement whose bottleneck is least, by an integer programme that HiGHS solves.

Neighbours that are alike make one stretch: what counts is how often each state follows each other
one, so that 32 layers take as many variables as one. A stretch is entered in one state and left in
another, and what lies between is a walk, since as many steps lead into every state as out of it.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from alula.runtime.planning.chain import (
    Optimum,
    PlanLimits,
    StateChain,
    States,
    chain_of,
    of_seconds,
)
from alula.runtime.planning.errors import PlanError
from alula.runtime.planning.fronts import NEAR
from alula.runtime.planning.problem import Problem, Table

_MOST_NODES, _MOST_S = 5_000, 120.0
"""Nodes of the solver's tree, after which the best that is known is taken, with its gap; seconds
that it may take whatever the tree."""
_EXACT, _NEAR = 1e-7, 1e-3
"""Of the least bottleneck, what is no gap; of the seconds of a request, what need not be saved."""
_TOLERANCE = 2e-6
"""Of a limit, what a solver may exceed it by."""
Numbers = NDArray[np.int64]


@dataclass(frozen=True)
class _Stretch:
    """Units that are alike, one after the other, as variables.

    Attributes:
        unit: the first.
        length: how many.
        enters: [states], 1 for the state of the first.
        leaves: [states], 1 for that of the last.
        steps: [from, to], how often one follows the other; of one unit nothing does.
    """

    unit: int
    length: int
    enters: Numbers
    leaves: Numbers
    steps: Numbers


@dataclass
class _Rows:
    """Linear constraints as they are collected: low <= coefficients @ variables <= high."""

    columns: list[Numbers] = field(default_factory=list)
    coefficients: list[Table] = field(default_factory=list)
    low: list[float] = field(default_factory=list)
    high: list[float] = field(default_factory=list)

    def add(self, low: float, high: float, *terms: tuple[Any, Any]) -> None:
        """Add a constraint; each term is variables and their coefficients."""
        self.columns.append(np.concatenate([np.ravel(columns) for columns, _ in terms]))
        parts = [np.broadcast_to(factor, np.shape(columns)).ravel() for columns, factor in terms]
        self.coefficients.append(np.concatenate(parts))
        self.low.append(low)
        self.high.append(high)


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
    return _Programme(chain, timed=count + 1).solve()


class _Programme:
    """The integer programme of a chain; the last `timed` of its limits are what is made least."""

    def __init__(self, chain: StateChain, timed: int) -> None:
        self._chain = chain
        self._states = len(chain.closing)
        self._timed = timed
        self._count = 1
        self._stretches = [self._stretch(unit, length) for unit, length in _alike(chain)]
        ends = self._stretches[0].length, self._stretches[-1].length
        self._once = ends == (1, 1) and _straight_is_least(chain)
        between = len(self._stretches) - 1
        self._joints = [self._new(self._states, self._states) for _ in range(between)]
        self._closing = self._new(self._states, self._states)
        self._rows = _Rows()
        self._memory: list[int] = []
        for stretch in self._stretches:
            self._walk(stretch)
        for one, joint, other in zip(
            self._stretches, self._joints, self._stretches[1:], strict=False
        ):
            self._join(joint, one.leaves, other.enters)
        self._join(self._closing, self._stretches[0].enters, self._stretches[-1].leaves)
        for limit in range(len(chain.free)):
            self._limit(limit)

    def solve(self) -> Optimum | None:
        """Return the optimum, None if no placement is within the limits on memory."""
        states, least = self._connected(np.eye(1, self._count)[0], _EXACT)
        if states is None:
            return None
        memory = self._chain.used(states)[: -self._timed]
        if (memory > 1 + NEAR).any():
            for row in self._memory:
                self._rows.high[row] = 1 - _TOLERANCE
            states, _ = self._connected(np.eye(1, self._count)[0], _EXACT)
            if states is None:
                return None
        taken = self._bottleneck(states)
        self._rows.add(-np.inf, taken, (np.array([0]), 1))
        quick, _ = self._connected(self._seconds(), _NEAR)
        if quick is not None and self._bottleneck(quick) <= taken * (1 + _EXACT):
            states = quick
        gap = 1 - least / taken if taken > 0 else 0.0
        return Optimum(self._chain.placement(states), gap if gap > 2 * _EXACT else 0.0)

    def _bottleneck(self, states: States) -> float:
        return float(self._chain.used(states)[-self._timed :].max())

    def _seconds(self) -> Table:
        """Return what each variable adds to the seconds of a request."""
        found = np.zeros(self._count)
        for limit in range(len(self._chain.free) - self._timed, len(self._chain.free)):
            for columns, taken in self._taken(limit):
                np.add.at(found, columns, taken)
        return found

    def _connected(self, objective: Table, gap: float) -> tuple[States | None, float]:
        """Return states that make an objective least, and what any make it at least.

        A solution whose stretches fall apart is excluded, and the rest solved again.
        """
        while True:
            found, least = self._solved(objective, gap)
            if found is None:
                return None, least
            apart = [cut for one in self._stretches for cut in self._apart(one, found)]
            if not apart:
                return np.concatenate([self._ordered(one, found) for one in self._stretches]), least
            for stretch, states in apart:
                self._connect(stretch, states)

    def _new(self, *shape: int) -> Numbers:
        numbers = np.arange(self._count, self._count + int(np.prod(shape)))
        self._count += len(numbers)
        return numbers.reshape(shape)

    def _stretch(self, unit: int, length: int) -> _Stretch:
        enters = self._new(self._states)
        if length == 1:
            return _Stretch(unit, length, enters, enters, np.zeros((0, 0), np.int64))
        leaves, steps = self._new(self._states), self._new(self._states, self._states)
        return _Stretch(unit, length, enters, leaves, steps)

    def _walk(self, stretch: _Stretch) -> None:
        """Constrain a stretch to a walk of its length."""
        self._rows.add(1, 1, (stretch.enters, 1))
        if stretch.length == 1:
            return
        self._rows.add(1, 1, (stretch.leaves, 1))
        steps, most = stretch.steps, stretch.length - 1
        self._rows.add(most, most, (steps, 1))
        for state in range(self._states):
            others = np.delete(np.arange(self._states), state)
            comes = (stretch.enters[state, None], 1), (steps[others, state], 1)
            goes = (stretch.leaves[state, None], -1), (steps[state, others], -1)
            self._rows.add(0, 0, *comes, *goes)
            self._connect(stretch, np.array([state]))
            if self._once:
                self._visit_once(stretch, state, others)

    def _visit_once(self, stretch: _Stretch, state: int, others: States) -> None:
        """Let a stretch come to a state once, and not go back from there to where it came from."""
        enters, steps = (stretch.enters[state, None], 1), stretch.steps
        self._rows.add(0, 1, enters, (steps[others, state], 1))
        for other in others:
            rest = others[others != other]
            back = (steps[state, other, None], -1)
            self._rows.add(0, np.inf, enters, (steps[rest, state], 1), back)

    def _connect(self, stretch: _Stretch, states: States) -> None:
        """Let a stretch go in circles among some states only if it comes there."""
        most, others = stretch.length - 1, np.delete(np.arange(self._states), states)
        comes = stretch.steps[np.ix_(others, states)]
        self._rows.add(
            -np.inf,
            0,
            (stretch.steps[np.ix_(states, states)], 1),
            (stretch.enters[states], -most),
            (comes, -most),
        )

    def _join(self, joint: Numbers, one: Numbers, other: Numbers) -> None:
        """Let [from, to] say which state of one goes with which state of the other."""
        for state in range(self._states):
            self._rows.add(0, 0, (joint[state], 1), (one[state, None], -1))
            self._rows.add(0, 0, (joint[:, state], 1), (other[state, None], -1))

    def _limit(self, limit: int) -> None:
        """Constrain what is taken of a limit: to all of it, or to what is made least."""
        terms = list(self._taken(limit))
        if limit < len(self._chain.free) - self._timed:
            self._memory.append(len(self._rows.low))
            self._rows.add(-np.inf, 1, *terms)
        else:
            self._rows.add(-np.inf, 0, *terms, (np.array([0]), -1))

    def _taken(self, limit: int) -> Iterator[tuple[Numbers, Table]]:
        passing = self._chain.passing[..., limit]
        for stretch in self._stretches:
            uses = self._chain.uses[stretch.unit, :, limit]
            yield stretch.leaves, uses
            if stretch.length > 1:
                yield stretch.steps, uses[:, None] + passing
        for joint in self._joints:
            yield joint, passing
        yield self._closing, self._chain.ending[..., limit]

    def _solved(self, objective: Table, gap: float) -> tuple[Numbers | None, float]:
        """Return the variables of a solution, and what an objective is at least.

        Args:
            objective: what a one of each variable adds to it.
            gap: how far it may be from the least, as a share of it.
        """
        from scipy.optimize import milp
        from scipy.sparse import coo_array

        rows = self._rows
        places = np.repeat(np.arange(len(rows.low)), [len(one) for one in rows.columns])
        columns = np.concatenate(rows.columns)
        matrix = coo_array(
            (np.concatenate(rows.coefficients), (places, columns)),
            shape=(len(rows.low), self._count),
        )
        most, whole = self._ranges()
        found = milp(
            objective,
            integrality=whole,
            bounds=(0, most),
            constraints=(matrix.tocsc(), rows.low, rows.high),
            options={"mip_rel_gap": gap, "node_limit": _MOST_NODES, "time_limit": _MOST_S},
        )
        if found.status == 2:
            return None, np.inf
        if found.x is None:
            raise PlanError(
                "a search for throughput failed: no plan within the devices' memory was found among"
                f" {_MOST_NODES:,}; pins, or fewer devices, leave fewer"
            )
        return np.rint(found.x).astype(np.int64), float(found.mip_dual_bound)

    def _ranges(self) -> tuple[Table, Table]:
        """Return the most of each variable, and 1 for those that are whole numbers.

        What joins two states is whole where both are.
        """
        most, whole = np.ones(self._count), np.zeros(self._count)
        most[0] = np.inf
        for stretch in self._stretches:
            may = np.isfinite(self._chain.nodes[stretch.unit])
            for ends in (stretch.enters, stretch.leaves):
                most[ends], whole[ends] = may, 1
            if stretch.length > 1:
                steps = np.full((self._states, self._states), stretch.length - 1)
                if self._once:
                    steps = np.where(np.eye(self._states), steps, 1)
                most[stretch.steps] = steps * (may[:, None] & may)
                whole[stretch.steps] = 1
        return most, whole

    def _apart(self, stretch: _Stretch, found: Numbers) -> list[tuple[_Stretch, States]]:
        """Return the states in which a stretch goes in circles without coming there."""
        if stretch.length == 1:
            return []
        taken = found[stretch.steps] > 0
        reached = found[stretch.enters] > 0
        while (more := reached | taken[reached].any(axis=0)).sum() > reached.sum():
            reached = more
        alone = np.flatnonzero(taken.any(axis=1) & ~reached)
        return [(stretch, alone)] if len(alone) else []

    def _ordered(self, stretch: _Stretch, found: Numbers) -> States:
        """Return a stretch's states in an order whose steps are those that were counted.

        Hierholzer's walk over all steps, from its end.
        """
        (first,) = np.flatnonzero(found[stretch.enters])
        if stretch.length == 1:
            return np.array([first])
        left = found[stretch.steps].copy()
        walk, order = [int(first)], list[int]()
        while walk:
            onward: Sequence[int] = np.flatnonzero(left[walk[-1]]).tolist()
            if onward:
                left[walk[-1], onward[0]] -= 1
                walk.append(onward[0])
            else:
                order.append(walk.pop())
        return np.array(order[::-1])


def _alike(chain: StateChain) -> list[tuple[int, int]]:
    """Return the first of each stretch of units that take the same, and how many they are."""
    found: list[tuple[int, int]] = []
    may = np.isfinite(chain.nodes)
    for unit in range(len(may)):
        first, length = found[-1] if found else (unit, 0)
        same = np.array_equal(chain.uses[unit], chain.uses[first])
        if length and same and np.array_equal(may[unit], may[first]):
            found[-1] = first, length + 1
        else:
            found.append((unit, 1))
    return found


def _straight_is_least(chain: StateChain) -> bool:
    """Whether no way around takes less of anything than from state to state.

    Then no state need be left and come back to among units that are alike: what ran there the
    second time may run there the first time. What the first and the last unit of all have between
    them does not change with it if each is unlike its neighbour.
    """
    around = chain.passing[:, :, None] + chain.passing[None]
    return bool((chain.passing[:, None] <= around + NEAR).all())
