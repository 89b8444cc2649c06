"""Cycles a second of the same gateware and program: a C++ loop, and Python in every cycle."""

import os
import tempfile
import time
from pathlib import Path
from typing import Any

from alula.isa import Program
from alula.rtl.device import RtlDevice
from benchmarks.report import progress_shown, report


def measure(design: str = "kv260") -> dict[str, Any]:
    """Run all; each has been built before its time is taken."""
    os.environ["ALULA_BENCH_DESIGN"] = design
    from benchmarks import percycle_cocotb
    from benchmarks.percycle_bench import BENCH, CODE, CYCLES, DESIGN

    with progress_shown() as progress:
        device = RtlDevice(DESIGN, progress=progress)
        start = time.perf_counter()
        outcome = device.run(Program("percycle", DESIGN.hash, CODE, {}, {}), {})
        loop = outcome.cycles / (time.perf_counter() - start)
        device.close()
        progress("building the simulator: Alula's bench", 0, 1)
        BENCH.build()
        results = BENCH.results()
        progress("building the simulator: cocotb's runner", 0, 1)
        with tempfile.TemporaryDirectory() as folder:
            runner = percycle_cocotb.measure(Path(folder))
    for result in results.values():
        if result.error is not None:
            raise RuntimeError(result.error)
    bench = CYCLES / (results["run"].seconds - results["start"].seconds)
    return {
        "cycles": outcome.cycles,
        "python_cycles": CYCLES,
        "loop_cycles_per_s": loop,
        "runner_cycles_per_s": runner["cycles_per_s"],
        "runner_build_s": runner["build_s"],
        "bench_cycles_per_s": bench,
        "runner_ratio": loop / runner["cycles_per_s"],
        "bench_ratio": loop / bench,
    }


if __name__ == "__main__":
    report(measure())
