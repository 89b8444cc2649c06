"""Fit the cycle model's constants to RTL, and say how far off it is where nothing was fitted.

`python -m benchmarks.fit_cycles`: simulates runs drawn by one seed, moves the constants of
`sim/alula/cost/fitted.json` cycle by cycle while that brings predictions nearer, then simulates
runs drawn by another seed and writes the constants, the largest error on those, and the commit.
"""

import argparse
import json
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from alula.cost import fitted as kept
from alula.cost import predict
from alula.cost.fitted import FITTED
from alula.cost.machine import machine
from alula.cost.simulate import Simulator
from alula.design import Design
from alula.mapper import DoesNotFit
from benchmarks.cost import SEED as HELD_OUT
from benchmarks.cost_points import CostPoint, by_design, designs, points
from benchmarks.report import progress_shown

SEED, COUNT = 2, 32
_FILE = Path(kept.__file__).with_name("fitted.json")
_WORTH = 1e-3
"""A move must lessen the sum of squared errors by this share: noise is not followed."""

Runs = Sequence[tuple[Design, CostPoint, float]]
"""Designs, what is run on them, and the cycles in RTL."""


def main() -> int:
    """Simulate, fit, and write the constants; return 0."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seed", type=int, default=SEED, help="draws the runs that are fitted to")
    parser.add_argument("--held-out", type=int, default=HELD_OUT, help="draws the others")
    parser.add_argument("--count", type=int, default=COUNT, help="runs of each seed")
    words = parser.parse_args()
    if words.seed == words.held_out:
        parser.error("the runs that are fitted to must be of another seed than the others")
    found = fit(simulated(points(words.seed, words.count)), FITTED)
    others = simulated(points(words.held_out, words.count))
    with constants(found):
        worst = max(map(abs, errors(others)))
    head = ["git", "rev-parse", "--short", "HEAD"]
    commit = subprocess.run(head, capture_output=True, text=True, check=True).stdout.strip()
    values = {"commit": commit, "cycles": found, "error": round(worst, 4)}
    _FILE.write_text(json.dumps(values, indent=1) + "\n", encoding="utf-8")
    print(values)
    return 0


def simulated(chosen: list[CostPoint]) -> Runs:
    """Run points in RTL; those that a design cannot run are left out."""
    made, found = designs(), []
    with progress_shown() as progress:
        for name, mine in by_design(chosen):
            with Simulator(made[name], progress) as simulator:
                for point in mine:
                    try:
                        cycles = simulator.run(*_run(point)).cycles
                    except DoesNotFit:
                        continue
                    found.append((made[name], point, cycles))
    return found


def fit(runs: Runs, start: Mapping[str, float]) -> dict[str, float]:
    """Return constants that bring predictions nearer to what runs took, from others on.

    Each constant in turn is moved up and down, as long as that is worth it; none below zero.
    """
    best = dict(start)
    least, moved = _squares(runs, best), True
    while moved:
        moved = False
        for name in best:
            for way in (1, -1):
                tried = {**best, name: best[name] + way}
                if tried[name] >= 0 and (now := _squares(runs, tried)) < least * (1 - _WORTH):
                    best, least, moved = tried, now, True
    return best


def _squares(runs: Runs, values: Mapping[str, float]) -> float:
    with constants(values):
        return sum(error**2 for error in errors(runs))


def errors(runs: Runs) -> Iterator[float]:
    """Yield predicted over simulated cycles, less 1."""
    for design, point, cycles in runs:
        yield predict(design, *_run(point)).cycles / cycles - 1


@contextmanager
def constants(values: Mapping[str, float]) -> Iterator[None]:
    """Let the cycle model have other constants within the block."""
    before = dict(FITTED)
    try:
        FITTED.update(values)
        machine.cache_clear()
        yield
    finally:
        FITTED.update(before)
        machine.cache_clear()


def _run(point: CostPoint) -> tuple:
    return point.shape, point.phase, point.tokens, point.position, point.precision


if __name__ == "__main__":
    raise SystemExit(main())
