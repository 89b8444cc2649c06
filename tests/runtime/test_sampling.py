"""Which token is drawn, how often, and repeatably."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from alula.runtime import RunError, Sampler

LOGITS = np.log(np.array([0.1, 0.4, 0.05, 0.3, 0.15], np.float32))


def shares(sampler: Sampler, count: int = 4000) -> np.ndarray:
    drawn = [sampler.choose(LOGITS) for _ in range(count)]
    return np.bincount(drawn, minlength=len(LOGITS)) / count


def test_greedy_takes_the_first_of_the_largest() -> None:
    sampler = Sampler()
    assert sampler.greedy
    assert sampler.choose(np.array([1, 3, 3, 2], np.float32)) == 1


def test_temperature_one_draws_the_softmax() -> None:
    assert np.abs(shares(Sampler(1.0, seed=1)) - np.exp(LOGITS)).max() < 0.03


def test_low_temperature_sharpens() -> None:
    expected = np.exp(LOGITS * 2)
    assert np.abs(shares(Sampler(0.5, seed=1)) - expected / expected.sum()).max() < 0.03


def test_top_k() -> None:
    found = shares(Sampler(1.0, top_k=2, seed=1))
    assert np.abs(found - np.array([0, 4 / 7, 0, 3 / 7, 0])).max() < 0.03


def test_top_p_keeps_the_fewest_that_reach_it() -> None:
    assert np.flatnonzero(shares(Sampler(1.0, top_p=0.69, seed=1))).tolist() == [1, 3]
    assert np.flatnonzero(shares(Sampler(1.0, top_p=0.71, seed=1))).tolist() == [1, 3, 4]
    assert np.flatnonzero(shares(Sampler(1.0, top_p=1e-9, seed=1))).tolist() == [1]


def test_a_seed_repeats() -> None:
    one, two = (
        [s.choose(LOGITS) for _ in range(50)] for s in (Sampler(1, seed=7), Sampler(1, seed=7))
    )
    assert one == two
    assert one != [s.choose(LOGITS) for s in [Sampler(1, seed=8)] for _ in range(50)]


@given(
    hnp.arrays(np.float32, st.integers(1, 40), elements=st.floats(-(2.0**99), 2.0**99, width=32)),
    st.floats(0, 1e6),
    st.integers(0, 50),
    st.floats(0, 1, exclude_min=True),
)
def test_never_outside_what_is_kept(
    logits: np.ndarray, temperature: float, top_k: int, top_p: float
) -> None:
    token = Sampler(temperature, top_k, top_p, seed=0).choose(logits)
    rank = int((logits > logits[token]).sum())
    assert rank < (top_k or len(logits))


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"temperature": -1.0}, "temperature must be 0 or more, not -1"),
        ({"temperature": float("nan")}, "temperature must be 0 or more, not nan"),
        ({"top_k": -1}, "top_k must be 0 or more, not -1"),
        ({"top_p": 0.0}, "top_p must be above 0 and at most 1, not 0"),
        ({"top_p": 1.5}, "top_p must be above 0 and at most 1, not 1.5"),
        ({"seed": -3}, "seed must be 0 or more, not -3"),
    ],
)
def test_refusals(values: dict, words: str) -> None:
    with pytest.raises(RunError) as caught:
        Sampler(**values)
    assert str(caught.value) == words
