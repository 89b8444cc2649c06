"""A way through a chain as an integer programme that HiGHS solves.

Neighbours that are alike make one stretch: what counts is how often each state follows each other
one, so that 32 layers take as many variables as one. A stretch is entered in one state and left in
another, and what lies between is a walk, since as many steps lead into every state as out of it.
"""

import ctypes
import os
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from alula.runtime.planning.chain import StateChain, States
from alula.runtime.planning.fronts import NEAR
from alula.runtime.planning.problem import Table

_TOLERANCE = 2e-6
"""Of a limit, what a solver may exceed it by."""
_MOST = 1e4
"""The largest coefficient of a constraint."""
Numbers = NDArray[np.int64]
Terms = tuple[Numbers, Any]
"""Variables and their coefficients."""


@dataclass(frozen=True)
class Stretch:
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


class StretchProgramme:
    """Ways through a chain within its limits, as variables and constraints.

    Args:
        chain: what is placed; a limit, an edge or a closing of inf is one that no way has.
        limits: how many of its limits are constraints, from the first on.
        straight: whether the straight way from a state to another is the least; see
            `StateChain.straight`.
        tables: [units, states] besides what the limits count, by which units are alike.
        connected: whether stretches are kept from falling apart before they do: more variables, but
            one solution; only where the straight way is the least.
    """

    def __init__(
        self,
        chain: StateChain,
        *,
        limits: int,
        straight: bool,
        tables: Sequence[Table] = (),
        connected: bool = False,
    ) -> None:
        self._chain = chain
        self._limits = limits
        self._states = len(chain.closing)
        self._rows = _Rows()
        self._limited: list[int] = []
        self._unbounded: list[int] = []
        self._roomy = True
        self.count = 0
        """How many variables there are."""
        self._stretches = [self._stretch(*alike) for alike in _alike(chain, tables)]
        ends = self._stretches[0].length, self._stretches[-1].length
        self._once = ends == (1, 1) and straight
        between = len(self._stretches) - 1
        self._joints = [self._new(self._states, self._states) for _ in range(between)]
        self._closing = self._new(self._states, self._states)
        for stretch in self._stretches:
            self._walk(stretch)
            if connected and self._once and stretch.length > 1:
                self._flow(stretch)
        for one, joint, other in zip(
            self._stretches, self._joints, self._stretches[1:], strict=False
        ):
            self._join(joint, one.leaves, other.enters)
        self._join(self._closing, self._stretches[0].enters, self._stretches[-1].leaves)
        for limit in range(limits):
            self._limit(limit)

    def new(self, count: int) -> Numbers:
        """Return so many further variables, not negative."""
        numbers = self._new(count)
        self._unbounded += numbers.tolist()
        return numbers

    def add(self, low: float, high: float, *terms: Terms) -> None:
        """Add a constraint: low <= terms <= high."""
        rows = self._rows
        rows.columns.append(np.concatenate([np.ravel(columns) for columns, _ in terms]))
        factors = np.concatenate([_factors(*one) for one in terms])
        # What is limited to nothing has shares that no solver takes.
        scale = max(1.0, np.abs(factors).max(initial=0) / _MOST)
        rows.coefficients.append(factors / scale)
        rows.low.append(low / scale)
        rows.high.append(high / scale)

    def terms(
        self, nodes: Table, edges: Table | float = 0.0, closing: Table | float = 0.0
    ) -> Iterator[Terms]:
        """Yield the terms that add up what a way has; inf, which none has, counts nothing.

        Args:
            nodes: [units, states], alike where units are.
            edges: [from, to].
            closing: [first, last].
        """
        nodes, edges, closing = map(_finite, (nodes, edges, closing))
        for stretch in self._stretches:
            yield stretch.leaves, nodes[stretch.unit]
            if stretch.length > 1:
                yield stretch.steps, nodes[stretch.unit, :, None] + edges
        for joint in self._joints:
            yield joint, edges
        yield self._closing, closing

    def objective(self, *terms: Terms) -> Table:
        """Return what a one of each variable adds to a sum of terms."""
        found = np.zeros(self.count)
        for columns, factor in terms:
            np.add.at(found, np.ravel(columns), _factors(columns, factor))
        return found

    def search(
        self, objective: Table, gap: float, score: Callable[[States], float], limit_s: float
    ) -> tuple[States | None, float]:
        """Return the best states that are found, and what any make the objective at least.

        A solution whose stretches fall apart is one with more steps than were counted; it is
        excluded, and the rest solved again.

        Args:
            objective: what a one of each variable adds to it.
            gap: how far from the least is near enough, as a share.
            score: what states cost, at least the objective; inf if they are not within all limits.
            limit_s: seconds, after which the best so far is taken.

        Returns:
            None and inf if there are none; None if none were found in time.
        """
        end, best, lowest, least = time.monotonic() + limit_s, None, np.inf, -np.inf
        while (left := end - time.monotonic()) > 0:
            found, bound = self._solved(objective, gap, left)
            if self._roomy:
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
        """Let the limits be met by more than what a solver may exceed them by.

        What fills a limit to the last is excluded by it: what is found after it bounds nothing.
        """
        self._roomy = False
        for row in self._limited:
            self._rows.high[row] -= _TOLERANCE

    def _new(self, *shape: int) -> Numbers:
        numbers = np.arange(self.count, self.count + int(np.prod(shape)))
        self.count += len(numbers)
        return numbers.reshape(shape)

    def _stretch(self, unit: int, length: int) -> Stretch:
        enters = self._new(self._states)
        if length == 1:
            return Stretch(unit, length, enters, enters, np.zeros((0, 0), np.int64))
        leaves, steps = self._new(self._states), self._new(self._states, self._states)
        return Stretch(unit, length, enters, leaves, steps)

    def _walk(self, stretch: Stretch) -> None:
        """Constrain a stretch to a walk of its length."""
        self.add(1, 1, (stretch.enters, 1))
        if stretch.length == 1:
            return
        self.add(1, 1, (stretch.leaves, 1))
        steps, most = stretch.steps, stretch.length - 1
        self.add(most, most, (steps, 1))
        for state in range(self._states):
            others = np.delete(np.arange(self._states), state)
            comes = (stretch.enters[state, None], 1), (steps[others, state], 1)
            goes = (stretch.leaves[state, None], -1), (steps[state, others], -1)
            self.add(0, 0, *comes, *goes)
            self._connect(stretch, np.array([state]))
            if self._once:
                self._visit_once(stretch, state, others)

    def _visit_once(self, stretch: Stretch, state: int, others: States) -> None:
        """Let a stretch come to a state once, and not go back from there to where it came from."""
        enters, steps = (stretch.enters[state, None], 1), stretch.steps
        self.add(0, 1, enters, (steps[others, state], 1))
        for other in others:
            rest = others[others != other]
            back = (steps[state, other, None], -1)
            self.add(0, np.inf, enters, (steps[rest, state], 1), back)

    def _flow(self, stretch: Stretch) -> None:
        """Let a stretch come to every state that it has from where it enters.

        As many units as it is long flow in where it enters, each unit stays where it runs, and the
        rest flow on.
        """
        others = np.isfinite(self._chain.edges) & ~np.eye(self._states, dtype=np.bool_)
        left, reached = np.nonzero(others)
        steps, flows = stretch.steps[left, reached], self.new(len(left))
        for step, flow in zip(steps, flows, strict=True):
            self.add(-np.inf, 0, (flow[None], 1), (step[None], 1 - stretch.length))
            self.add(0, np.inf, (flow[None], 1), (step[None], -1))
        for state in range(self._states):
            comes, goes = reached == state, left == state
            self.add(
                0,
                0,
                (flows[comes], 1),
                (stretch.enters[state, None], stretch.length - 1),
                (steps[comes], -1),
                (stretch.steps[state, state, None], -1),
                (flows[goes], -1),
            )

    def _connect(self, stretch: Stretch, states: States) -> None:
        """Let a stretch go in circles among some states only if it comes there."""
        most, others = stretch.length - 1, np.delete(np.arange(self._states), states)
        comes = stretch.steps[np.ix_(others, states)]
        self.add(
            -np.inf,
            0,
            (stretch.steps[np.ix_(states, states)], 1),
            (stretch.enters[states], -most),
            (comes, -most),
        )

    def _join(self, joint: Numbers, one: Numbers, other: Numbers) -> None:
        """Let [from, to] say which state of one goes with which state of the other."""
        for state in range(self._states):
            self.add(0, 0, (joint[state], 1), (one[state, None], -1))
            self.add(0, 0, (joint[:, state], 1), (other[state, None], -1))

    def _limit(self, limit: int) -> None:
        """Keep a way within a limit; more strictly, but to no other effect, where that is known."""
        chain = self._chain
        self._limited.append(len(self._rows.low))
        shares = (one[..., limit] for one in (chain.uses, chain.passing, chain.ending))
        self.add(-np.inf, 1, *self.terms(*shares))
        inner = slice(self._stretches[0].length, -self._stretches[-1].length)
        if self._once and len(self._stretches) > 2 and not chain.passing[..., limit].any():
            uses = chain.uses[inner, :, limit]
            each = uses.max()
            if each > 0 and np.isin(uses, (0.0, each)).all():
                self._count_units(limit, each)

    def _count_units(self, limit: int, each: float) -> None:
        """Limit how many units take of a limit, where all but the first and the last take as much.

        That number is whole: it is what the first and the last leave, rounded down.
        """
        chain = self._chain
        uses, ending = chain.uses[..., limit], chain.ending[..., limit]
        left = 1 + NEAR - (uses[0, :, None] + uses[-1] + ending)
        units = np.clip(np.floor(left / each), -1, len(uses))
        counted = np.where(uses > 0, 1.0, 0.0)
        counted[[0, -1]] = 0
        self.add(-np.inf, 0, *self.terms(counted, closing=-units))

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
            shape=(len(rows.low), self.count),
        )
        most, whole = self._ranges()
        with without_chatter():
            found = milp(
                objective,
                integrality=whole,
                bounds=(0, most),
                constraints=(matrix.tocsc(), rows.low, rows.high),
                options={"mip_rel_gap": gap, "time_limit": limit_s},
            )
        if found.status == 2 and "infeasible" in found.message:  # 2 is of wrong models, too
            return None, np.inf
        least = -np.inf if found.mip_dual_bound is None else float(found.mip_dual_bound)
        return None if found.x is None else np.rint(found.x).astype(np.int64), least

    def _ranges(self) -> tuple[Table, Table]:
        """Return the most of each variable, and 1 for those that are whole numbers.

        What joins two states is whole where both are.
        """
        chain = self._chain
        edges = np.isfinite(chain.edges)
        most, whole = np.ones(self.count), np.zeros(self.count)
        most[self._unbounded] = np.inf
        most[self._closing] = np.isfinite(chain.closing)
        for joint in self._joints:
            most[joint] = edges
        for stretch in self._stretches:
            may = np.isfinite(chain.nodes[stretch.unit])
            for ends in (stretch.enters, stretch.leaves):
                most[ends], whole[ends] = may, 1
            if stretch.length > 1:
                steps = np.full((self._states, self._states), stretch.length - 1)
                if self._once:
                    steps = np.where(np.eye(self._states), steps, 1)
                most[stretch.steps] = steps * (may[:, None] & may & edges)
                whole[stretch.steps] = 1
        return most, whole

    def _apart(self, stretch: Stretch, found: Numbers) -> list[tuple[Stretch, States]]:
        """Return the states in which a stretch goes in circles without coming there."""
        if stretch.length == 1:
            return []
        taken = found[stretch.steps] > 0
        reached = found[stretch.enters] > 0
        while (more := reached | taken[reached].any(axis=0)).sum() > reached.sum():
            reached = more
        alone = np.flatnonzero(taken.any(axis=1) & ~reached)
        return [(stretch, alone)] if len(alone) else []

    def _ordered(self, stretch: Stretch, found: Numbers) -> States:
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


@contextmanager
def without_chatter() -> Iterator[None]:
    """Keep from stdout what HiGHS 1.12 prints there whatever it is told; all else follows later."""
    with tempfile.TemporaryFile() as kept:
        stdout = os.dup(1)
        os.dup2(kept.fileno(), 1)
        try:
            yield
        finally:
            ctypes.CDLL(None).fflush(None)
            os.dup2(stdout, 1)
            kept.seek(0)
            for line in kept:
                if not line.startswith(b"HighsMipSolverData::"):
                    os.write(stdout, line)
            os.close(stdout)


def _finite(table: Table | float) -> Table:
    return np.where(np.isfinite(table), table, 0.0)


def _factors(columns: Numbers, factor: Any) -> Table:
    return np.broadcast_to(np.asarray(factor, float), np.shape(columns)).ravel()


def _alike(chain: StateChain, tables: Sequence[Table]) -> list[tuple[int, int]]:
    """Return the first of each stretch of units that take the same, and how many they are."""
    found: list[tuple[int, int]] = []
    compared = (np.isfinite(chain.nodes), chain.uses, *tables)
    for unit in range(len(chain.nodes)):
        first, length = found[-1] if found else (unit, 0)
        if length and all(np.array_equal(one[unit], one[first]) for one in compared):
            found[-1] = first, length + 1
        else:
            found.append((unit, 1))
    return found
