"""The placement whose bottleneck is least, by an integer programme that HiGHS solves.

Neighbours that are alike make one stretch: what counts is how often each state follows each other
one, so that 32 layers take as many variables as one. A stretch is entered in one state and left in
another, and what lies between is a walk, since as many steps lead into every state as out of it.
"""

import time
from collections.abc import Callable, Iterator, Sequence
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

_BOTTLENECK_S, _SECONDS_S = 8.0, 2.0
"""Seconds in which the least bottleneck is looked for, and the quickest of those that have it;
after that the best that is known is taken, with its gap."""
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
        """Return the optimum, None if no placement is within the limits on memory.

        Raises:
            PlanError: none was found in time.
        """
        states, least = self._search(
            np.eye(1, self._count)[0], _EXACT, self._bottleneck, _BOTTLENECK_S
        )
        if states is None:
            if np.isinf(least):
                return None
            raise PlanError(
                "a search for throughput failed: no plan within the devices' memory was found in"
                f" {_BOTTLENECK_S:g} s; pins, or fewer devices, leave fewer"
            )
        taken = self._bottleneck(states)
        most = taken * (1 + _EXACT)
        self._rows.add(-np.inf, taken, (np.array([0]), 1))

        def seconds(quick: States) -> float:
            within = self._bottleneck(quick) <= most
            return float(self._chain.used(quick)[-self._timed :].sum()) if within else np.inf

        quick, _ = self._search(self._seconds(), _NEAR, seconds, _SECONDS_S)
        states = states if quick is None else min((states, quick), key=seconds)
        gap = 1 - least / taken if taken > 0 else 0.0
        return Optimum(self._chain.placement(states), gap if gap > 2 * _EXACT else 0.0)

    def _bottleneck(self, states: States) -> float:
        """Return what is made least; inf beyond a limit on memory."""
        used = self._chain.used(states)
        if (used[: -self._timed] > 1 + NEAR).any():
            return np.inf
        return float(used[-self._timed :].max())

    def _seconds(self) -> Table:
        """Return what each variable adds to the seconds of a request."""
        found = np.zeros(self._count)
        for limit in range(len(self._chain.free) - self._timed, len(self._chain.free)):
            for columns, taken in self._taken(limit):
                np.add.at(found, columns, taken)
        return found

    def _search(
        self, objective: Table, gap: float, score: Callable[[States], float], limit_s: float
    ) -> tuple[States | None, float]:
        """Return the best states that are found, and what any make the objective at least.

        A solution whose stretches fall apart is one with more steps than were counted; it is
        excluded, and the rest solved again.

        Args:
            objective: what a one of each variable adds to it.
            gap: how far from the least is near enough, as a share.
            score: the objective of states; inf if they are not within all limits.
            limit_s: seconds, after which the best so far is taken.
        """
        end, best, lowest, least = time.monotonic() + limit_s, None, np.inf, -np.inf
        while (left := end - time.monotonic()) > 0:
            found, bound = self._solved(objective, gap, left)
            least = max(least, bound)
            if found is None:
                break
            states = np.concatenate([self._ordered(one, found) for one in self._stretches])
            value = score(states)
            if value < lowest:
                best, lowest = states, value
            apart = [cut for one in self._stretches for cut in self._apart(one, found)]
            if lowest <= least * (1 + gap) or (not apart and np.isfinite(value)):
                break
            for stretch, alone in apart:
                self._connect(stretch, alone)
            if not apart:
                self._leave_room()
        return best, least

    def _leave_room(self) -> None:
        """Let the limits on memory be met by more than what a solver may exceed them by."""
        for row in self._memory:
            self._rows.high[row] -= _TOLERANCE

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

    def _solved(self, objective: Table, gap: float, limit_s: float) -> tuple[Numbers | None, float]:
        """Return the variables of a solution, and what an objective is at least.

        None and inf if there is none; None if none was found in time.
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
            options={"mip_rel_gap": gap, "time_limit": limit_s},
        )
        if found.status == 2:
            return None, np.inf
        least = -np.inf if found.mip_dual_bound is None else float(found.mip_dual_bound)
        return None if found.x is None else np.rint(found.x).astype(np.int64), least

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

        Hierholzer's walk over all steps, from its end. Circles where it does not come go in front
        of the last state.
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
        order.reverse()
        apart = np.repeat(np.arange(self._states), left.sum(axis=1)).tolist()
        place = max(1, len(order) - 1)
        return np.array(order[:place] + apart + order[place:])


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
