"""Seconds from nothing to a session, and the most memory of a process that answers."""

import os
import resource
import sys
import tempfile
import time

from benchmarks.report import MODEL, measured, report


def answer(model: str, started: str) -> dict[str, object]:
    """In a fresh process that began at `started`: load, answer, tell."""
    from alula.runtime import load

    session = load(model, "kv260")
    seconds = time.time() - float(started)
    result = session.generate("What is the capital of France?", max_new_tokens=12)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    return {"load_s": seconds, "peak_bytes": peak, "text": result.text}


def measure() -> dict[str, object]:
    """Load with an empty cache, then twice more from it; the faster of the two counts."""
    from alula.runtime.models import get

    model = str(get(MODEL))
    found = []
    with tempfile.TemporaryDirectory() as folder:
        env = os.environ | {"ALULA_CACHE": folder}
        for _ in range(3):
            found.append(measured("loading", model, str(time.time()), env=env))
    return {
        "first_load_s": found[0]["load_s"],
        "cached_load_s": min(run["load_s"] for run in found[1:]),
        "peak_bytes": max(run["peak_bytes"] for run in found),
        "text": found[0]["text"],
    }


if __name__ == "__main__":
    report(answer(*sys.argv[1:]) if sys.argv[1:] else measure())
