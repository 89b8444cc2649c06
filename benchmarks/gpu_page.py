"""What `benchmarks.gpu` measured, as tables for the docs."""

import json
from typing import Any

from benchmarks.report import ROOT

RESULTS = ROOT / "benchmarks" / "results" / "gpu.json"
_TARGETS = {"exact": "torch-int", "float": "torch-float"}


def results() -> dict[str, Any]:
    """Return what was measured, by part."""
    return json.loads(RESULTS.read_text(encoding="utf-8"))


def exact_text() -> str:
    """Return the rates of exact integers beside those of plain fp32, as Markdown."""
    found = results()["exact"]
    lines = ["| target | prefill, ms | tokens/s |", "|---|--:|--:|"]
    for name, target in _TARGETS.items():
        rates = found[name]
        cells = f"{1e3 * rates['prefill_s']:.1f} | {rates['decode_tokens_per_s']:.1f}"
        lines.append(f"| `{target}` | {cells} |")
    ratios = (found["prefill_ratio"], found["decode_ratio"])
    lines.append("| times as quick | " + " | ".join(f"{ratio:.2f}" for ratio in ratios) + " |")
    return "\n".join(lines) + "\n"


def held_out_text() -> str:
    """Return what the table said of lengths that it was not made of, as Markdown."""
    lines = ["| phase | tokens | predicted, ms | measured, ms | error |", "|---|--:|--:|--:|--:|"]
    rows = results()["calibration"]["held_out"]["rows"]
    for row in sorted(rows, key=lambda row: row["phase"], reverse=True):
        lines.append(f"| {row['phase']} | {row['length']:g} | {_times(row, 'measured_s')} |")
    return "\n".join(lines) + "\n"


def split_text() -> str:
    """Return what plans said beside what was observed, as Markdown."""
    lines = ["| map | phase | what | predicted, ms | observed, ms | error |"]
    lines += ["|---|---|---|--:|--:|--:|"]
    for plan in results()["split"]["plans"].values():
        for row in plan["comparison"]["rows"]:
            if row["observed_s"] is not None:
                words = f"`{plan['map']}` | {row['phase']} | {row['units']}"
                lines.append(f"| {words} | {_times(row, 'observed_s')} |")
    return "\n".join(lines) + "\n"


def _times(row: dict[str, Any], found: str) -> str:
    seconds = " | ".join(f"{1e3 * row[name]:.2f}" for name in ("predicted_s", found))
    return f"{seconds} | {100 * row['error']:+.1f}%"
