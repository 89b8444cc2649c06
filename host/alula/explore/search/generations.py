"""Spaces too large to bound each point: NSGA-II, by pymoo."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from alula.explore.objectives import signed
from alula.explore.row import Row
from alula.explore.space import DesignSpace
from alula.libraries import needed

_POPULATION = 100


class Generations:
    """Breeds points from those that are best so far.

    Args:
        space: the space.
        most: points that may be asked about.
        seed: draws what is left to chance.

    Raises:
        MissingLibrary: pymoo is not installed.
    """

    def __init__(self, space: DesignSpace, *, most: int, seed: int) -> None:
        self._space, self._names = space, list(space.sweep.objectives)
        self.left = most
        self._seen: dict[int, Row] = {}
        self._algorithm = _algorithm(space, min(_POPULATION, most), seed)
        self._bred: Any = None
        self._numbers: list[int] = []

    def ask(self) -> Sequence[int]:
        """Return the next generation's points that were not asked about before."""
        while self.left > 0:
            bred = self._algorithm.ask()
            if bred is None or not len(bred):
                return []
            self._bred = bred
            self._numbers = self._space.number(bred.get("X").astype(np.int64)).tolist()
            fresh = [one for one in dict.fromkeys(self._numbers) if one not in self._seen]
            if fresh:
                asked = fresh[: self.left]
                self.left -= len(asked)
                return asked
            self._pass_on()
            if self._algorithm.n_gen > 100 + len(self._seen):
                return []
        return []

    def tell(self, rows: Mapping[int, Row]) -> None:
        """Take what the points are, and breed from the best."""
        self._seen |= rows
        self._pass_on()

    def _pass_on(self) -> None:
        """Give the generation to pymoo; a point that cannot be breaks a constraint."""
        evaluator = needed("pymoo", "pymoo.core.evaluator").Evaluator()
        static = needed("pymoo", "pymoo.problems.static").StaticProblem
        rows = [self._seen.get(number) for number in self._numbers]
        values = np.full((len(rows), len(self._names)), np.inf)
        broken = np.ones((len(rows), 1))
        for place, row in enumerate(rows):
            if row is not None and row.found:
                values[place] = signed([row.objectives(self._names)], self._names)
                broken[place] = -1.0
        values = np.where(np.isfinite(values), values, 1e30)
        evaluator.eval(static(self._algorithm.problem, F=values, G=broken), self._bred)
        self._algorithm.tell(infills=self._bred)


def _algorithm(space: DesignSpace, population: int, seed: int) -> Any:
    def part(module: str, name: str) -> Any:
        return getattr(needed("pymoo", f"pymoo.{module}"), name)

    problem = part("core.problem", "Problem")(
        n_var=len(space.sizes),
        n_obj=len(space.sweep.objectives),
        n_ieq_constr=1,
        xl=0,
        xu=np.array(space.sizes) - 1,
        vtype=int,
    )
    repair = part("operators.repair.rounding", "RoundingRepair")()
    algorithm = part("algorithms.moo.nsga2", "NSGA2")(
        pop_size=population,
        sampling=part("operators.sampling.rnd", "IntegerRandomSampling")(),
        crossover=part("operators.crossover.sbx", "SBX")(vtype=float, repair=repair),
        mutation=part("operators.mutation.pm", "PM")(vtype=float, repair=repair),
        eliminate_duplicates=True,
    )
    algorithm.setup(problem, termination=("n_gen", 10**9), seed=seed, verbose=False)
    return algorithm
