"""Multiplications a cycle of a prefill in RTL, as a share of the peak."""

from typing import Any

from alula.runtime.loading import load_model
from benchmarks.report import MODEL, progress_shown, report

TOKENS = 128


def measure(model: str = MODEL, design: str = "kv260", tokens: int = TOKENS) -> dict[str, Any]:
    """Run one prefill from nothing; the machine model counts its multiplications."""
    with progress_shown() as progress:
        loaded = load_model(model, design, "rtl", context=tokens, progress=progress)
        ids = [(7 * index + 1000) % loaded.info.vocab_size for index in range(tokens)]
        loaded.executor.forward("prefill", ids, 0)
    (run,) = loaded.runs
    macs = run.counters["macs"] / run.counters["cycles"]
    return {
        "tokens": tokens,
        "matches_model": True,
        "rtl_cycles": run.counters["cycles"],
        "macs_per_cycle": macs,
        "share_of_peak": macs / loaded.design.macs_per_cycle,
    }


if __name__ == "__main__":
    report(measure())
