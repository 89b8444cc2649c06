"""The results as a table for the README."""

import json

from benchmarks.promises import PROMISES
from benchmarks.report import ROOT

RESULTS = ROOT / "benchmarks" / "results" / "bench.json"


def table_text() -> str:
    """Return the promises with what was measured, as Markdown."""
    if not RESULTS.exists():
        return "Nothing has been measured yet.\n"
    results = json.loads(RESULTS.read_text(encoding="utf-8"))
    lines = ["| what | must be | measured |", "|---|--:|--:|"]
    for promise in PROMISES:
        if promise.measurement not in results:
            continue
        bound = ("at least " if promise.at_least else "at most ") + promise.shown(promise.bound)
        value = promise.shown(promise.value(results))
        missed = "" if promise.met(results) else " (missed)"
        lines.append(f"| {promise.what} | {bound} | {value}{missed} |")
    machine, accuracy = results["machine"], results["accuracy"]
    where = f"{machine['cores']} cores of {machine['processor']}, Python {machine['python']}"
    lines += ["", f"On {where}, {results['date']}; {accuracy['predictions']:,} predictions."]
    return "\n".join(lines) + "\n"
