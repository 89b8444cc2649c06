"""Points that take seconds each: few are asked about, chosen by Optuna's sampler."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from alula.explore.objectives import signed
from alula.explore.row import Row
from alula.explore.space import DesignSpace
from alula.libraries import needed


class Samples:
    """Draws points where good ones are likely, by a tree of Parzen estimators.

    Args:
        space: the space.
        most: points that may be asked about.
        seed: draws what is left to chance.
        at_once: points that are asked about together.

    Raises:
        MissingLibrary: Optuna is not installed.
    """

    def __init__(self, space: DesignSpace, *, most: int, seed: int, at_once: int) -> None:
        optuna = needed("optuna", "optuna")
        optuna.logging.set_verbosity(optuna.logging.ERROR)
        self._space, self._at_once = space, at_once
        self.left = most
        self._failed = optuna.trial.TrialState.FAIL
        self._study = optuna.create_study(
            directions=["minimize"] * len(space.sweep.objectives),
            sampler=optuna.samplers.TPESampler(seed=seed),
        )
        self._random = np.random.default_rng(seed)
        self._trials: dict[int, Any] = {}
        self._seen: dict[int, Row] = {}

    def ask(self) -> Sequence[int]:
        """Return the next points, none twice."""
        wanted, self._trials = min(self.left, self._at_once), {}
        for _ in range(50 * wanted):
            if len(self._trials) == wanted:
                break
            trial = self._study.ask()
            places = [
                trial.suggest_categorical(name, range(size))
                for name, size in zip(self._space.names, self._space.sizes, strict=True)
            ]
            number = int(self._space.number([places])[0])  # pyright: ignore[reportArgumentType]
            if number in self._seen:
                self._learn(trial, self._seen[number])
            elif number in self._trials:
                self._study.tell(trial, state=self._failed)
            else:
                self._trials[number] = trial
        self._fill(wanted)
        self.left -= len(self._trials)
        return list(self._trials)

    def tell(self, rows: Mapping[int, Row]) -> None:
        """Learn what the points are."""
        self._seen |= rows
        for number, row in rows.items():
            self._learn(self._trials[number], row)

    def _fill(self, wanted: int) -> None:
        """Add points by chance, where the sampler names none that are new."""
        known = len(self._seen) + len(self._trials)
        while len(self._trials) < wanted and known < self._space.count:
            places = self._random.integers(self._space.sizes)
            number = int(self._space.number(places[None])[0])
            if number in self._seen or number in self._trials:
                continue
            known += 1
            fixed = dict(zip(self._space.names, places.tolist(), strict=True))
            self._study.enqueue_trial(fixed)
            trial = self._study.ask()
            for name, size in zip(self._space.names, self._space.sizes, strict=True):
                trial.suggest_categorical(name, range(size))
            self._trials[number] = trial

    def _learn(self, trial: Any, row: Row) -> None:
        names = self._space.sweep.objectives
        values = row.objectives(names)
        if row.found and all(value == value for value in values):
            self._study.tell(trial, signed([values], names)[0].tolist())
        else:
            self._study.tell(trial, state=self._failed)
