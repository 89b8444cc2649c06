"""Fronts, and what they cover."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from alula.explore.objectives import signed
from alula.explore.pareto import beaten, front, hypervolume, layers

POINTS = st.lists(st.tuples(*[st.integers(0, 6)] * 3), max_size=30)


def array(points: list[tuple[int, ...]]) -> np.ndarray:
    return np.array(points, np.float64).reshape(-1, 3)


@given(POINTS)
def test_a_point_is_on_the_front_or_beaten(points: list[tuple[int, ...]]) -> None:
    def beats(one: tuple[int, ...], other: tuple[int, ...]) -> bool:
        return one != other and all(a <= b for a, b in zip(one, other, strict=True))

    found = front(array(points))
    expected = [not any(beats(other, one) for other in points) for one in points]
    assert found.tolist() == expected
    assert beaten(array(points), array(points)).tolist() == [not one for one in expected]


@given(POINTS, st.integers(0, 30))
def test_layers_come_best_first(points: list[tuple[int, ...]], count: int) -> None:
    values = array(points)
    found = layers(values, count)
    assert len(set(found.tolist())) == len(found) >= min(count, len(points))
    if found.size:
        first = np.flatnonzero(front(values))
        assert set(found[: first.size].tolist()) == set(first.tolist())


def test_many_points() -> None:
    values = np.random.default_rng(0).random((3000, 3))
    best = front(values)
    assert not beaten(values[best], values).any()
    assert beaten(values[~best], values[best]).all()


def test_what_is_not_known_is_not_on_the_front() -> None:
    assert front(np.array([[np.nan, 0.0], [1.0, 1.0]])).tolist() == [False, True]


def test_hypervolume_of_a_box() -> None:
    low, high = np.zeros(2), np.array([10.0, 100.0])
    assert hypervolume(np.array([[0.0, 0.0]]), low, high) == pytest.approx(1)
    two = np.array([[5.0, 0.0], [0.0, 50.0], [9.0, 90.0]])
    assert hypervolume(two, low, high) == pytest.approx(0.75)
    assert hypervolume(np.array([[10.0, 0.0]]), low, high) == 0


def test_points_that_differ_in_the_fourth_digit_are_equal() -> None:
    values = signed(
        [[164.64, 70_905.0], [164.61, 70_921.0], [float("nan"), 0.0]], ["tokens_per_s", "lut"]
    )
    assert values[0].tolist() == values[1].tolist() == [-165.0, 70_900.0]
    assert np.isnan(values[2, 0])
    assert values[2, 1] == 0
    assert front(values).tolist() == [True, True, False]
