"""The solver of budgets against every choice there is."""

import itertools
import os
import random
import subprocess
import sys

import pytest

from alula.compress.budget import Option, Unreachable, choose

KINDS = ("attn.q", "mlp.down")


def drawn(seed: int) -> dict[str, list[Option]]:
    """Three layers of two matrices, a head and a rest; the fewer bits the worse."""
    draw = random.Random(seed)
    names = [f"layers.{layer}.{kind}" for layer in range(3) for kind in KINDS] + ["lm_head"]
    options = {
        name: [
            Option(f"W{bits}", 100 * bits + draw.randint(0, 9), 7 * bits, draw.random() / bits**2)
            for bits in (2, 4, 8)
        ]
        for name in names
    }
    return options | {"rest": [Option("", 1000, 500, 0.0)]}


def runs(formats: dict[str, str]) -> int:
    layers = [tuple(formats[f"layers.{layer}.{kind}"] for kind in KINDS) for layer in range(3)]
    return 1 + sum(one != other for one, other in itertools.pairwise(layers))


def every(options: dict[str, list[Option]], most_runs: int) -> list[dict[str, Option]]:
    found = (
        dict(zip(options, taken, strict=True)) for taken in itertools.product(*options.values())
    )
    return [one for one in found if runs({name: o.format for name, o in one.items()}) <= most_runs]


def sums(taken: dict[str, Option]) -> dict[str, float]:
    return {
        name: sum(getattr(one, name) for one in taken.values())
        for name in ("bytes", "cycles", "loss")
    }


@pytest.mark.parametrize("most_runs", [1, 2, 3])
@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize(
    ("limits", "goal"),
    [
        ({"bytes": 3500}, "loss"),
        ({"cycles": 690}, "loss"),
        ({"bytes": 4200, "cycles": 680}, "loss"),
        ({"loss": 0.4}, "bytes"),
        ({"loss": 0.6, "bytes": 4000}, "cycles"),
    ],
)
def test_choice_is_the_best(limits: dict[str, float], goal: str, seed: int, most_runs: int) -> None:
    options = drawn(seed)
    allowed = [
        taken
        for taken in every(options, most_runs)
        if all(sums(taken)[name] <= limit for name, limit in limits.items())
    ]
    if not allowed:
        with pytest.raises(Unreachable):
            choose(options, limits, most_runs=most_runs)
        return
    found = choose(options, limits, most_runs=most_runs)
    taken = {
        name: next(one for one in options[name] if one.format == title)
        for name, title in found.items()
    }
    assert runs(found) <= most_runs
    assert all(sums(taken)[name] <= limit + 1e-5 for name, limit in limits.items())
    best = min(sums(one)[goal] for one in allowed)
    assert sums(taken)[goal] == pytest.approx(best, rel=2e-4, abs=2e-5)
    assert choose(options, limits, most_runs=most_runs) == found


@pytest.mark.parametrize("limits", [{"bytes": 1900.0}, {"bytes": 2000.0, "loss": 0.1}])
def test_nearest_is_told(limits: dict[str, float]) -> None:
    options = drawn(7)
    with pytest.raises(Unreachable) as caught:
        choose(options, limits, most_runs=2)

    def excess(found: dict[str, float]) -> float:
        return max(found[name] / limit - 1 for name, limit in limits.items())

    best = min(excess(sums(taken)) for taken in every(options, 2))
    assert excess(caught.value.nearest) == pytest.approx(best, rel=1e-2)


CHOICE = """
import random
from alula.compress import budget
from alula.compress.budget import Option, choose
budget._EFFORT, draw = 0.5, random.Random(1)
options = {
    f"layers.{layer}.{kind}": [
        Option(f"W{bits}", bits * 100, bits, draw.random() / bits**2) for bits in (2, 3, 4, 8)
    ]
    for layer in range(16)
    for kind in range(4)
}
print(choose(options, {"bytes": 330 * 64}, most_runs=6))
"""


def test_every_process_chooses_the_same() -> None:
    """Where the best is not found in time too: kept work goes on only with the same choice."""
    found = {
        subprocess.run(
            [sys.executable, "-c", CHOICE],
            env=os.environ | {"PYTHONHASHSEED": seed},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for seed in ("1", "2")
    }
    assert len(found) == 1
