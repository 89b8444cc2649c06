"""Cycles a second of the same gateware and program: a C++ loop, and Python in every cycle."""

import os
import time
from typing import Any

from alula.isa import Program
from alula.rtl.device import RtlDevice
from benchmarks.report import progress_shown, report


def measure(design: str = "kv260") -> dict[str, Any]:
    """Run both; each has been built before its time is taken."""
    os.environ["ALULA_BENCH_DESIGN"] = design
    from benchmarks.percycle_bench import BENCH, CODE, CYCLES, DESIGN

    with progress_shown() as progress:
        device = RtlDevice(DESIGN, progress=progress)
        start = time.perf_counter()
        outcome = device.run(Program("percycle", DESIGN.hash, CODE, {}, {}), {})
        loop = outcome.cycles / (time.perf_counter() - start)
        device.close()
        progress("building the simulator: cocotb", 0, 1)
        BENCH.build()
        results = BENCH.results()
    for result in results.values():
        if result.error is not None:
            raise RuntimeError(result.error)
    python = CYCLES / (results["run"].seconds - results["start"].seconds)
    return {
        "loop_cycles_per_s": loop,
        "python_cycles_per_s": python,
        "cycles": outcome.cycles,
        "python_cycles": CYCLES,
        "ratio": loop / python,
    }


if __name__ == "__main__":
    report(measure())
