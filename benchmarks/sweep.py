"""The ready sweep of kv260: what it finds, and what a tenth of the evaluations do."""

import argparse
import resource
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from alula.explore import Found, load_sweep, sweep
from alula.explore.evaluation import answer
from alula.explore.objectives import signed
from alula.explore.pareto import hypervolume
from alula.explore.row import Row
from alula.explore.space import DesignSpace
from alula.explore.sweep_file import SweepCheck
from benchmarks.report import progress_shown, report

SWEEP = "kv260-smollm2"
SHARE = 0.1
"""Of the space's points, that the search may ask the cycle model about."""


def measure(store: Path | None = None, *, checked: bool = True) -> dict[str, Any]:
    """Run the shipped sweep, then look for its front with a tenth of the evaluations.

    Args:
        store: keeps the points, so that a second measurement is quick.
        checked: whether points are simulated too.
    """
    asked = load_sweep(SWEEP)
    with tempfile.TemporaryDirectory() as folder, progress_shown() as progress:
        place = store or Path(folder) / "rows.sqlite"
        start, spent = time.monotonic(), _processor_seconds()
        shown = asked if checked else asked.model_copy(update={"check": SweepCheck()})
        shipped = sweep(shown, store=place, progress=progress)
        seconds, spent = time.monotonic() - start, _processor_seconds() - spent
        plain = asked.model_copy(update={"check": SweepCheck(), "points": None})
        every = sweep(plain, store=place, progress=progress)
        few = sweep(plain, points=int(SHARE * every.space.count), store=place, progress=progress)
    return {
        "points": every.space.count,
        "exact": every.exact,
        "asked_for_the_front": every.asked,
        "asked": few.asked,
        "asked_share": few.asked / every.space.count,
        "hypervolume_share": share(few, every),
        "seconds": seconds,
        "processor_seconds": spent,
        **_checks(shipped),
        **_beside_shipped(shipped),
    }


def _processor_seconds() -> float:
    """Of this process and of those that it has waited for."""
    used = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return sum(one.ru_utime + one.ru_stime for one in used)


def share(found: Found, every: Found) -> float:
    """Hypervolume of a front over that of the true one, in the box of all known points."""
    names = list(every.space.sweep.objectives)

    def values(rows: Any) -> np.ndarray:
        return signed([row.objectives(names) for row in rows], names)

    known = values([row for row in every.rows.values() if row.found])
    box = known.min(axis=0), known.max(axis=0)
    return hypervolume(values(found.front), *box) / hypervolume(values(every.front), *box)


def _checks(found: Found) -> dict[str, Any]:
    errors = [abs(row.checked) for row in found.rows.values() if row.checked is not None]
    return {"simulated": len(errors), "largest_error": max(errors, default=0.0)}


def _beside_shipped(found: Found) -> dict[str, Any]:
    """The shipped design, and the fastest point that takes no more LUTs."""
    space: DesignSpace = found.space
    shipped = Row({})
    question = space.question(space.values(0))
    answer(replace(question, design=space.bases["kv260"]), shipped)
    best = max(
        (row for row in found.rows.values() if row.found and (row.lut or 0) <= (shipped.lut or 0)),
        key=lambda row: row.tokens_per_s or 0.0,
    )
    assert best.tokens_per_s
    assert shipped.tokens_per_s
    return {
        "shipped_tokens_per_s": shipped.tokens_per_s,
        "shipped_lut": shipped.lut,
        "best_tokens_per_s": best.tokens_per_s,
        "best_lut": best.lut,
        "best_ttft_s": best.ttft_s,
        "shipped_ttft_s": shipped.ttft_s,
        "best_how": best.how,
        "best_values": dict(best.values),
        "tokens_ratio": best.tokens_per_s / shipped.tokens_per_s,
    }


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--store", type=Path, help="keeps the points")
    parser.add_argument("--no-rtl", action="store_true", help="simulates nothing")
    words = parser.parse_args()
    report(measure(words.store, checked=not words.no_rtl))
