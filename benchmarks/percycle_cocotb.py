"""The same under cocotb's own runner, as anyone would: every signal public, its makefile's flags.

The simulator loads this file too.
"""

import json
import os
import time
from pathlib import Path
from typing import Any
from unittest import mock

import cocotb
from cocotb.clock import Clock
from cocotb.triggers import ClockCycles
from cocotb_tools.runner import get_runner

from alula.rtl.emission import emitted_top
from alula.rtl.toolchain import environment, toolchain
from benchmarks.percycle_bench import CYCLES, DESIGN, begin
from benchmarks.report import ROOT

RESULT = "ALULA_BENCH_RESULT"


def measure(folder: Path) -> dict[str, float]:
    """Build in a folder and simulate; return the seconds of the build, and cycles a second."""
    tools = toolchain()
    sources = []
    for name, text in emitted_top(DESIGN).modules.items():
        sources.append(folder / f"{name}.v")
        sources[-1].write_text(text)
    result = folder / "result.json"
    settings = environment(tools.root) | {
        "PATH": f"{tools.root / 'bin'}{os.pathsep}{os.environ['PATH']}",
        # Verilator was configured for clang; g++ takes a precompiled header otherwise.
        "MAKEFLAGS": "CFG_CXXFLAGS_PCH_I=-include",
        "PYTHONPATH": str(ROOT),
        RESULT: str(result),
    }
    with mock.patch.dict(os.environ, settings):
        runner = get_runner("verilator")
        start = time.perf_counter()
        runner.build(
            sources=sources,
            hdl_toplevel="top",
            build_dir=folder / "build",
            build_args=["-Wno-fatal", "--no-timing", "--x-initial", "0"],
            log_file=folder / "build.log",
        )
        build_s = time.perf_counter() - start
        runner.test(
            hdl_toplevel="top",
            test_module=__name__,
            build_dir=folder / "build",
            log_file=folder / "test.log",
        )
    return {"build_s": build_s, "cycles_per_s": json.loads(result.read_text())}


@cocotb.test()
async def run(dut: Any) -> None:
    """Let cycles pass, and write how many did in a second."""
    Clock(dut.clk, 10, "ns").start()
    dut.rst.value = 1
    await ClockCycles(dut.clk, 2)
    dut.rst.value = 0
    await begin(dut)
    start = time.perf_counter()
    await ClockCycles(dut.clk, CYCLES)
    speed = CYCLES / (time.perf_counter() - start)
    Path(os.environ[RESULT]).write_text(json.dumps(speed))
