"""Searches: what they find of fronts that are known, and how much they ask."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from alula.explore import Sweep
from alula.explore.objectives import signed
from alula.explore.pareto import front, hypervolume
from alula.explore.row import Row
from alula.explore.search import All, ByBounds, Generations, Samples, Searcher
from alula.explore.shortfall import Shortfall
from alula.explore.space import DesignSpace

NAMES = ["tokens_per_s", "lut"]
SHORT = Shortfall("LUT", 3.0, 2.0, 1.0, "", "fewer")


class World:
    """A space whose rows follow from a formula, and cannot be in some places."""

    def __init__(self, seed: int, sizes: tuple[int, ...] = (6, 5, 4, 5)) -> None:
        random = np.random.default_rng(seed)
        axes = [f"clock_mhz {axis}" for axis in range(len(sizes))]
        values: dict[str, Any] = {
            name: list(range(size)) for name, size in zip(axes, sizes, strict=True)
        }
        self.sweep = Sweep.model_construct(
            name="world", axes=values, objectives=NAMES, seed=seed, constraints={}
        )
        self.space = DesignSpace(self.sweep, {}, {})
        self.places = self.space.places(np.arange(self.space.count))
        speed = sum(
            random.uniform(0, 0.5, size)[p] for size, p in zip(sizes, self.places.T, strict=True)
        )
        area = sum(
            random.uniform(0, 0.5, size)[p] for size, p in zip(sizes, self.places.T, strict=True)
        )
        self.least = np.column_stack([np.exp(speed), np.exp(area)])
        loss = sum(
            random.uniform(0, 0.4, size)[p] for size, p in zip(sizes, self.places.T, strict=True)
        )
        noise = random.uniform(0, 0.05, self.space.count)
        self.actual = self.least * np.column_stack([np.exp(-loss - noise), np.ones(loss.shape)])
        self.possible = random.random(self.space.count) > 0.2
        self.asked = 0

    def rows(self, numbers: Any) -> Mapping[int, Row]:
        self.asked += len(numbers)
        found = {}
        for number in numbers:
            if self.possible[number]:
                speed, area = self.actual[number]
                found[number] = Row({}, tokens_per_s=float(speed), lut=float(area))
            else:
                found[number] = Row({}, shortfall=SHORT)
        return found

    def search(self, searcher: Searcher) -> dict[int, Row]:
        found: dict[int, Row] = {}
        while asked := searcher.ask():
            assert len(set(asked)) == len(asked)
            assert not set(asked) & found.keys()
            rows = self.rows(asked)
            found |= rows
            searcher.tell(rows)
        return found

    def best(self, numbers: Any) -> set[tuple[float, ...]]:
        """The front of some points."""
        numbers = np.array([number for number in numbers if self.possible[number]])
        values = signed(self.actual[numbers], NAMES)  # type: ignore[arg-type]
        return {tuple(value) for value in values[front(values)].tolist()}

    def share(self, numbers: Any) -> float:
        """Of the true front's hypervolume."""
        every = signed(self.actual[self.possible], NAMES)  # type: ignore[arg-type]
        box = every.min(axis=0), every.max(axis=0)
        own = np.array([list(value) for value in self.best(numbers)])
        return hypervolume(own, *box) / hypervolume(every, *box)

    def by_bounds(self, most: int | None) -> ByBounds:
        numbers = np.arange(self.space.count)
        return ByBounds(numbers, self.places, self.least, NAMES, most=most, seed=self.sweep.seed)


@settings(max_examples=20)
@given(st.integers(0, 1000))
def test_a_search_by_bounds_that_ends_has_the_true_front(seed: int) -> None:
    world = World(seed)
    searcher = world.by_bounds(None)
    found = world.search(searcher)
    assert searcher.exact
    assert world.best(found) == world.best(range(world.space.count))


def test_a_search_by_bounds_leaves_points_out() -> None:
    """Over worlds of one shape; in some of them no bound rules a point out."""
    worlds = [World(seed) for seed in range(20)]
    for world in worlds:
        world.search(world.by_bounds(None))
    assert sum(world.asked for world in worlds) < 0.7 * sum(world.space.count for world in worlds)


@pytest.mark.parametrize("seed", range(3))
def test_a_tenth_of_the_points_has_almost_all_of_the_front(seed: int) -> None:
    world = World(seed, (8, 7, 6, 5, 4, 3))
    assert world.space.count >= 20_000
    found = world.search(world.by_bounds(world.space.count // 10))
    assert world.asked <= world.space.count // 10
    assert world.share(found) >= 0.98


def test_an_objective_that_is_nothing_everywhere_does_not_blind_the_search() -> None:
    world = World(2, (8, 7, 6, 5, 4, 3))
    numbers = np.arange(world.space.count)
    least = np.column_stack([world.least, np.zeros(len(numbers))])
    names = [*NAMES, "uram"]
    most = world.space.count // 20
    searcher = ByBounds(numbers, world.places, least, names, most=most, seed=0)
    found: dict[int, Row] = {}
    while asked := searcher.ask():
        rows = {number: replace(row, uram=0.0) for number, row in world.rows(asked).items()}
        found |= rows
        searcher.tell(rows)
    assert world.share(found) >= 0.98


def test_generations_find_most_of_a_front() -> None:
    world = World(1, (8, 7, 6, 5, 4, 3))
    found = world.search(Generations(world.space, most=1200, seed=1))
    assert world.asked <= 1200
    assert world.share(found) >= 0.9


def test_generations_end_where_the_space_does() -> None:
    world = World(1, (3, 2))
    found = world.search(Generations(world.space, most=100, seed=1))
    assert len(found) <= 6


def test_samples_are_better_than_chance() -> None:
    world = World(1, (8, 7, 6, 5))
    found = world.search(Samples(world.space, most=100, seed=1, at_once=8))
    assert len(found) == 100
    drawn = np.random.default_rng(0)
    chance = [world.share(drawn.permutation(world.space.count)[:100]) for _ in range(20)]
    assert world.share(found) > np.median(chance)
    small = World(1, (3, 2))
    assert len(small.search(Samples(small.space, most=6, seed=1, at_once=4))) == 6


def test_all() -> None:
    world = World(1)
    assert len(world.search(All(range(600)))) == 600
    assert list(world.search(All(range(600), 7))) == list(range(7))


def test_searches_are_the_same_every_time() -> None:
    def asked(make: Any) -> list[int]:
        world = World(3)
        return list(world.search(make(world)))

    for make in (
        lambda world: world.by_bounds(100),
        lambda world: Generations(world.space, most=150, seed=3),
        lambda world: Samples(world.space, most=20, seed=3, at_once=4),
    ):
        assert asked(make) == asked(make)
