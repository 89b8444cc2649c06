"""Formats for every matrix that keep within a budget and lose least, exactly (CP-SAT)."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from alula.libraries import needed

_FRACTION = 1_000_000
"""Of a nat: losses are integers to the solver."""
_EFFORT = 30.0
_SHARE, _MOST_EXCESS = 1000, 1 << 27


@dataclass(frozen=True)
class Option:
    """A format of a matrix, and what it adds to each sum.

    Attributes:
        format: its title.
        bytes: that a token reads of the matrix.
        cycles: of decoding a token.
        loss: of the logarithm of perplexity, nats.
    """

    format: str
    bytes: int
    cycles: int
    loss: float


class Unreachable(ValueError):
    """No choice keeps within the limits.

    Attributes:
        nearest: the sums of the choice whose largest excess, as a share of its limit, is least.
    """

    def __init__(self, nearest: Mapping[str, float]) -> None:
        super().__init__("no choice of formats keeps within the budget")
        self.nearest = dict(nearest)


def choose(
    options: Mapping[str, Sequence[Option]], limits: Mapping[str, float], *, most_runs: int
) -> dict[str, str]:
    """Choose a format for each matrix.

    The loss is the least that the limits allow; where the loss is limited itself, bytes are, or
    cycles where bytes are limited and cycles are not.

    Args:
        options: of each matrix, at least one; under another name what the rest adds.
        limits: the most of `bytes`, `cycles` or `loss` together, at least of one.
        most_runs: runs of consecutive layers with the same formats that a program has room for.

    Returns:
        Titles by matrix.

    Raises:
        Unreachable: there is no such choice.
        MissingLibrary: OR-Tools is not installed.
    """
    found = _Problem(options, most_runs).least(limits)
    if found is None:
        raise Unreachable(_Problem(options, most_runs).nearest(limits))
    return found


class _Problem:
    def __init__(self, options: Mapping[str, Sequence[Option]], most_runs: int) -> None:
        self._cp = needed("ortools", "ortools.sat.python.cp_model")
        self._options, self._model = options, self._cp.CpModel()
        self._chosen = {
            name: {one.format: self._model.new_bool_var(f"{name} {one.format}") for one in found}
            for name, found in options.items()
        }
        for chosen in self._chosen.values():
            self._model.add_exactly_one(chosen.values())
        self._limit_runs(most_runs)

    def _limit_runs(self, most: int) -> None:
        """Between runs a matrix changes its format: at most one place fewer than runs."""
        ends: dict[int, Any] = {}
        for name, chosen in self._chosen.items():
            if not name.startswith("layers."):
                continue
            _, layer, kind = name.split(".", 2)
            before = self._chosen.get(f"layers.{int(layer) - 1}.{kind}")
            if before is None:
                continue
            end = ends.setdefault(int(layer), self._model.new_bool_var(f"end before {layer}"))
            for title in {**chosen, **before}:
                pair = [one.get(title, 0) for one in (chosen, before)]
                self._model.add(pair[0] - pair[1] <= end)
        self._model.add(sum(ends.values()) <= most - 1)

    def least(self, limits: Mapping[str, float]) -> dict[str, str] | None:
        """The choice within limits; None if there is none."""
        goal = "loss"
        if "loss" in limits:
            goal = "cycles" if "bytes" in limits and "cycles" not in limits else "bytes"
        for name, limit in limits.items():
            self._model.add(self._sum(name) <= int(limit * _scale(name)))
        return self._solved(self._sum(goal))

    def nearest(self, limits: Mapping[str, float]) -> dict[str, float]:
        """The sums of the choice that is nearest to limits."""
        excess = self._model.new_int_var(0, _MOST_EXCESS, "excess in thousandths")
        for name, limit in limits.items():
            scaled = int(limit * _scale(name))
            self._model.add(_SHARE * (self._sum(name) - scaled) <= excess * max(1, scaled))
        found = self._solved(excess)
        assert found is not None
        taken = [
            next(one for one in self._options[name] if one.format == title)
            for name, title in found.items()
        ]
        return {name: sum(map(_amount(name), taken)) / _scale(name) for name in limits}

    def _sum(self, name: str) -> Any:
        amount = _amount(name)
        return sum(
            amount(one) * self._chosen[matrix][one.format]
            for matrix, found in self._options.items()
            for one in found
        )

    def _solved(self, goal: Any) -> dict[str, str] | None:
        self._model.minimize(goal)
        solver = self._cp.CpSolver()
        solver.parameters.max_deterministic_time = _EFFORT
        solver.parameters.num_workers = 1  # the same choice each time
        solver.parameters.relative_gap_limit = 1e-4
        if solver.solve(self._model) not in (self._cp.OPTIMAL, self._cp.FEASIBLE):
            return None
        return {
            name: next(title for title, literal in chosen.items() if solver.boolean_value(literal))
            for name, chosen in self._chosen.items()
        }


def _scale(name: str) -> int:
    return _FRACTION if name == "loss" else 1


def _amount(name: str) -> Callable[[Option], int]:
    """What an option adds to a sum, as an integer."""
    if name == "loss":
        return lambda one: round(one.loss * _FRACTION)
    return lambda one: int(getattr(one, name))
