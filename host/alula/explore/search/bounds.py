"""Search by bounds: a point whose bound is beaten is never asked about, the promising come first.

Every point has the best values that it can have (tier 0). Once some are known, how far points are
from their bounds is learned from the values of their axes, and guesses of all others follow. If the
search may end, its front is the true one: what was left out is beaten even at its bound.
"""

from collections.abc import Mapping, Sequence

import numpy as np

from alula.explore.objectives import signed
from alula.explore.pareto import beaten, front, layers
from alula.explore.row import Row
from alula.explore.search.learned import Learned

_ROUNDS = 12
_BY_CHANCE = 0.1
"""The share of a round that is drawn by chance, where guesses may be wrong; half of the first."""
_LEAST, _MOST = 16, 512
"""Points of a round."""


class ByBounds:
    """Chooses points by bounds and guesses.

    Args:
        numbers: int [points], of the points that can be.
        places: int [points, axes]: which value of each axis they have.
        least: float [points, objectives]: the best values that they can have.
        objectives: names of the objectives.
        most: points that may be asked about; None: as many as it takes.
        seed: draws what is left to chance.
    """

    def __init__(
        self,
        numbers: np.ndarray,
        places: np.ndarray,
        least: np.ndarray,
        objectives: Sequence[str],
        *,
        most: int | None,
        seed: int,
    ) -> None:
        self._numbers, self._places = numbers, places
        self._objectives = list(objectives)
        self._least = signed(least, objectives)
        self._budget = len(numbers) if most is None else min(most, len(numbers))
        self._alive = np.ones(len(numbers), bool)
        self._actual = np.full(self._least.shape, np.nan)
        self._known = np.zeros(len(numbers), bool)
        self._index = {int(number): place for place, number in enumerate(numbers)}
        self._random = np.random.default_rng(seed)
        self._round = int(np.clip(self._budget // _ROUNDS, _LEAST, _MOST))

    @property
    def left(self) -> int:
        """Points that may still be asked about, at most."""
        return min(self._budget, int(self._alive.sum()))

    @property
    def exact(self) -> bool:
        """No point is left that could be on the front."""
        return not self._alive.any()

    def ask(self) -> Sequence[int]:
        """Return the next points: the front of guesses, and some by chance."""
        open_points = np.flatnonzero(self._alive)
        count = min(self._round, self._budget, open_points.size)
        if count == 0:
            return []
        guesses, possible = self._guesses()
        likely = open_points[possible[open_points]]
        best = likely[layers(guesses[likely], count)]
        share = _BY_CHANCE if self._known.any() else 0.5
        by_chance = max(1, round(count * share))
        chosen = list(dict.fromkeys(best.tolist()))[: count - by_chance]
        others = np.setdiff1d(open_points, chosen)
        drawn = self._random.permutation(others)[: count - len(chosen)]
        self._budget -= count
        self._asked = np.array([*chosen, *drawn.tolist()])
        return self._numbers[self._asked].tolist()

    def tell(self, rows: Mapping[int, Row]) -> None:
        """Learn what points are, and leave out those that they beat."""
        found = []
        for number, row in rows.items():
            place = self._index[number]
            self._known[place], self._alive[place] = True, False
            if row.found:
                self._actual[place] = signed([row.objectives(self._objectives)], self._objectives)
                found.append(place)
        if found:
            best = self._actual[found][front(self._actual[found])]
            alive = np.flatnonzero(self._alive)
            self._alive[alive[beaten(self._least[alive], best)]] = False

    def _guesses(self) -> tuple[np.ndarray, np.ndarray]:
        """What points probably are, and which probably can be."""
        if not self._known.any():
            return self._least, np.ones(len(self._numbers), bool)
        known = np.flatnonzero(self._known)
        can_be = ~np.isnan(self._actual[known]).any(axis=1)
        possible = Learned(self._places, known, can_be.astype(float)).values > 0.5
        guesses = self._least.copy()
        seen = known[can_be]
        for column in range(guesses.shape[1]):
            # Of what is nothing at best, such as blocks that a part has none of, no ratio is known.
            some = seen[self._least[seen, column] != 0]
            if some.size:
                ratio = self._actual[some, column] / self._least[some, column]
                guesses[:, column] *= np.exp(Learned(self._places, some, np.log(ratio)).values)
        return guesses, possible
