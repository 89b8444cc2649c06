"""Resources and clock as estimated beside synthesis, on designs that nothing was fitted to."""

import json
import time
from typing import Any

from alula.cost.resources import composition, estimate
from alula.cost.resources.composition import SYNTHESISED, fitted
from alula.cost.resources.fit import ERRORS, Synthesised, compared
from alula.design import load_design
from benchmarks.report import report

_TITLES = {
    "lut": "LUT", "ff": "FF", "dsp": "DSP", "bram36": "BRAM36", "uram": "URAM", "mhz": "MHz",
}  # fmt: skip


def measure() -> dict[str, Any]:
    """Compare the held-out designs that are kept, and time estimates of designs that all differ."""
    rows = held_out()
    worst = {
        f"{name}_error": max(abs(row["error"][name]) for row in rows) for name in ERRORS if rows
    }
    return {"designs": len(rows), **worst, "estimates_per_s": estimates_per_s(), "runs": rows}


def held_out() -> list[dict[str, Any]]:
    """Return each held-out design with what was synthesised of it and the relative errors."""
    designs = json.loads(SYNTHESISED.read_text(encoding="utf-8"))["designs"]
    rows = []
    for values in designs:
        one = Synthesised.read(values)
        if one.held_out and one.ns is not None:
            found = {name: getattr(one.use, name) for name in ERRORS if name != "mhz"}
            rows.append(
                {
                    "base": values["base"],
                    "changes": values["changes"],
                    "commit": values["commit"],
                    "synthesised": found | {"mhz": 1000 / one.ns},
                    "error": compared(one, fitted(one.chip)),
                }
            )
    return rows


def estimates_per_s() -> float:
    """Estimates a second of one core, of designs that all differ in what is composed."""
    kv260 = load_design("kv260")
    designs = [
        kv260.replace({"buffers.staging_kib": staging, "buffers.program_kib": program})
        for staging in range(32, 64)
        for program in range(32, 64)
    ]
    estimate(kv260)
    composition.composed_of.cache_clear()
    start = time.process_time()
    for design in designs:
        estimate(design)
    return len(designs) / (time.process_time() - start)


def table_text() -> str:
    """Return the held-out designs as a Markdown table: synthesised, and the estimate's error."""
    rows = held_out()
    lines = [
        f"| held-out design | {' | '.join(_TITLES.values())} | commit |",
        "|---|" + "--:|" * len(_TITLES) + "---|",
    ]
    for row in rows:
        found, error = row["synthesised"], row["error"]
        counts = {name: f"{found[name]:,g}" for name in found} | {"mhz": f"{found['mhz']:.0f}"}
        cells = (f"{counts[name]} ({error[name]:+.1%})" for name in _TITLES)
        said = _said(row["base"], row["changes"])
        lines.append(f"| {said} | {' | '.join(cells)} | `{row['commit']}` |")
    return "\n".join(lines) + "\n"


def _said(base: str, changes: dict[str, Any]) -> str:
    design = load_design(base).replace(changes)
    memory, kind = design.memory, "sparse" if design.mpe.sparse else "dense"
    return (
        f"{design.part.family}: {memory.channels} x {memory.beat_bytes} bytes, "
        f"{design.mpe.tokens} tokens, {design.sfu.lanes} lanes, {kind}"
    )


if __name__ == "__main__":
    report(measure())
