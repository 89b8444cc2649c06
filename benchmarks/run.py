"""Measure every promise, write benchmarks/results/bench.json, and say which are kept.

Each measurement runs in a process of its own. Exits with 1 if a promise is not kept.
"""

import argparse
import datetime
import json
import os
import platform
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from benchmarks.promises import PROMISES
from benchmarks.report import measured
from benchmarks.table import RESULTS

MEASUREMENTS = (
    "size",
    "loading",
    "speed",
    "accuracy",
    "evaluation",
    "cost",
    "sweep",
    "zigzag",
    "resources",
    "rtl",
    "stream",
    "prefill",
    "percycle",
    "blocks",
    "synthesis",
    "placement",
)


def processor() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()


def machine() -> dict[str, object]:
    import numpy
    import torch
    import transformers

    return {
        "processor": processor(),
        "cores": os.cpu_count(),
        "python": platform.python_version(),
        "numpy": numpy.__version__,
        "torch": torch.__version__,
        "transformers": transformers.__version__,
        "load_average": os.getloadavg()[0],
    }


def write(results: dict[str, Any]) -> None:
    """Replace the file as a whole, so that one that fails loses nothing of the others."""
    RESULTS.parent.mkdir(exist_ok=True)
    temporary = RESULTS.with_suffix(".tmp")
    temporary.write_text(json.dumps(results, indent=1, sort_keys=True) + "\n")
    temporary.replace(RESULTS)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("only", nargs="*", help=f"measurements to make: {', '.join(MEASUREMENTS)}")
    parser.add_argument("--seed", type=int, help="draws the runs of cost anew")
    words = parser.parse_args()
    only = words.only or MEASUREMENTS
    for name in only:
        if name not in MEASUREMENTS:
            parser.error(f"a measurement must be one of {', '.join(MEASUREMENTS)}, not {name!r}")
    results: dict[str, Any] = json.loads(RESULTS.read_text()) if RESULTS.exists() else {}
    results |= {"date": datetime.date.today().isoformat(), "machine": machine()}
    failed = []
    for name in only:
        print(f"{name} ...", file=sys.stderr, flush=True)
        start = time.monotonic()
        results.pop(name, None)
        try:
            seeded = name == "cost" and words.seed is not None
            results[name] = measured(name, *(["--seed", str(words.seed)] if seeded else []))
        except subprocess.CalledProcessError:
            failed.append(name)
        verdict = "FAILED, " if name in failed else ""
        print(f"{name}: {verdict}{time.monotonic() - start:.0f} s", file=sys.stderr)
        write(results)
    kept = [promise for promise in PROMISES if promise.measured(results)]
    for promise in kept:
        verdict = "kept  " if promise.met(results) else "MISSED"
        bound = "at least" if promise.at_least else "at most"
        value = promise.shown(promise.value(results))
        print(f"{verdict} {promise.what}: {value} ({bound} {promise.shown(promise.bound)})")
    return 1 if failed or not all(promise.met(results) for promise in kept) else 0


if __name__ == "__main__":
    sys.exit(main())
