"""The cycle model: its error against RTL, on runs that it was not fitted to, and its speed."""

import argparse
import statistics
import time
from typing import Any

import numpy as np

from alula.cost import Sizes, bound, predict
from alula.cost.fitted import COMMIT
from alula.cost.simulate import Simulator
from alula.design import Design
from alula.ir.shapes import SHAPES
from alula.mapper import DoesNotFit
from benchmarks.cost_points import CostPoint, by_design, designs, points
from benchmarks.report import progress_shown, report

SEED, COUNT = 1, 32
BOUNDS = 1_000_000


def measure(seed: int = SEED, count: int = COUNT) -> dict[str, Any]:
    """Draw runs by a seed, simulate and predict each, and time both tiers."""
    rows = list(compared(points(seed, count)))
    errors = sorted(abs(row["error"]) for row in rows)
    return {
        "seed": seed,
        "points": len(rows),
        "fitted_commit": COMMIT,
        "median_error": statistics.median(errors),
        "largest_error": errors[-1],
        "bounds_per_s": bounds_per_s(),
        "predictions_per_s": predictions_per_s(),
        "runs": rows,
    }


def compared(chosen: list[CostPoint]) -> Any:
    """Yield each run with its cycles in RTL, those predicted, and the relative error."""
    made = designs()
    with progress_shown() as progress:
        for name, mine in by_design(chosen):
            with Simulator(made[name], progress) as simulator:
                for point in mine:
                    row = _compared(simulator, made[name], point)
                    if row is not None:
                        print(row, flush=True)
                        yield row


def _compared(simulator: Simulator, design: Design, point: CostPoint) -> dict[str, Any] | None:
    """The row of a run; None where the design cannot run it."""
    run = point.shape, point.phase, point.tokens, point.position, point.precision
    try:
        predicted = predict(design, *run).cycles
    except DoesNotFit:
        return None
    simulated = simulator.run(*run).cycles
    error = predicted / simulated - 1
    return point.as_dict() | {"rtl": simulated, "predicted": predicted, "error": error}


def bounds_per_s() -> float:
    """Points of tier 0 a second of one core: designs and lengths that all differ."""
    random = np.random.default_rng(SEED)
    sizes = Sizes(
        64 * random.integers(1, 32, BOUNDS),
        8 * random.integers(1, 32, BOUNDS),
        2 ** random.integers(1, 6, BOUNDS),
    )
    position = random.integers(0, 4000, BOUNDS)
    start = time.process_time()
    bound(sizes, SHAPES["llama2-7b"], position=position, tokens=1)
    return BOUNDS / (time.process_time() - start)


def predictions_per_s() -> float:
    """Points of tier 1 a second of one core: whole tokens of SmolLM2-135M, designs all differ."""
    made = designs()["kv260"]
    changed = [
        made.replace({"buffers.stream_kib": stream, "clock_mhz": clock})
        for clock in range(100, 350)
        for stream in (32, 64, 96, 128)
    ]
    shape = SHAPES["smollm2-135m"]
    predict(made, shape, "decode", position=500)
    start = time.process_time()
    for design in changed:
        predict(design, shape, "decode", position=500)
    return len(changed) / (time.process_time() - start)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seed", type=int, default=SEED, help="draws the runs")
    parser.add_argument("--count", type=int, default=COUNT, help="runs")
    words = parser.parse_args()
    report(measure(words.seed, words.count))
