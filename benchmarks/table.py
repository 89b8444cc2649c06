"""The results as a table for the README."""

import json
from typing import Any

from benchmarks.promises import PROMISES
from benchmarks.report import ROOT

RESULTS = ROOT / "benchmarks" / "results" / "bench.json"


def table_text() -> str:
    """Return the promises with what was measured, as Markdown."""
    results = _results()
    if not results:
        return "Nothing has been measured yet.\n"
    lines = ["| what | must be | is | |", "|---|--:|--:|---|"]
    for promise in PROMISES:
        if not promise.measured(results):
            continue
        bound = ("at least " if promise.at_least else "at most ") + promise.shown(promise.bound)
        value = promise.shown(promise.value(results))
        missed = "" if promise.met(results) else " (missed)"
        lines.append(f"| {promise.what} | {bound} | {value}{missed} | {promise.how} |")
    machine, accuracy = results["machine"], results["accuracy"]
    where = f"{machine['cores']} cores of {machine['processor']}, Python {machine['python']}"
    lines += ["", f"On {where}, {results['date']}; {accuracy['predictions']:,} predictions."]
    return "\n".join(lines) + "\n"


def synthesis_text() -> str:
    """Return what kv260's modules take of its part, as Markdown."""
    found = _results().get("synthesis")
    if found is None:
        return "`make bench` has not been there yet.\n"
    names = ("lut", "ff", "dsp", "bram36", "uram")
    lines = ["| module | times | LUT | FF | DSP | BRAM36 | UltraRAM |", "|---|" + "--:|" * 6]
    for module in found["modules"]:
        count, each = module["instances"], module["each"]
        cells = [f"{count * each[name]:,g}" for name in names]
        lines.append(f"| {module['module'].partition('_')[0]} | {count} | {' | '.join(cells)} |")
    total, share, part = found["total"], found["share"], found["part"]
    lines.append(f"| all | | {' | '.join(f'{total[name]:,g}' for name in names)} |")
    lines.append(f"| of the part | | {' | '.join(f'{share[name]:.0%}' for name in names)} |")
    declared = found["declared"]
    lines += [
        "",
        f"By {found['tool']} for {part['name']}; the design declares {declared['dsp']} DSP.",
    ]
    return "\n".join(lines) + "\n"


def _results() -> dict[str, Any]:
    return json.loads(RESULTS.read_text(encoding="utf-8")) if RESULTS.exists() else {}
