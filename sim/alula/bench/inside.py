"""Loaded by cocotb inside the simulator: the cases of one bench as cocotb's tests.

Which bench, which cases and where the results go is in the file that ALULA_BENCH names.
"""

import importlib.util
import json
import os
import sys
import time
import traceback
from collections.abc import Callable, Coroutine
from pathlib import Path
from random import Random
from typing import Any

import cocotb
import cocotb.utils
from cocotb.triggers import SimTimeoutError, with_timeout

from alula.bench.bench import Bench
from alula.bench.cases import Case
from alula.bench.scoreboard import Mismatch
from alula.bench.unit import PERIOD, Unit


def _load(file: str, name: str) -> Bench:
    """Run the file that made a bench, and return the one it makes here."""
    spec = importlib.util.spec_from_file_location("alula_bench_file", file)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return Bench.made_in(spec.name, name)


async def _body(case: Case, unit: Unit) -> None:
    await case.run(unit)
    unit.must_have_gone(*(pattern for pattern in (case.idle, case.pressure) if pattern))


def _test(
    bench: Bench, case: Case, seed: str, results: Path
) -> Callable[[Any], Coroutine[Any, None, None]]:
    async def run(dut: Any) -> None:
        started = time.perf_counter()
        unit = None
        error = None
        try:
            unit = Unit(dut, bench.make(), Random(f"{seed}/{bench.name}/{case.name}"))
            await unit.start()
            await with_timeout(_body(case, unit), case.limit * PERIOD, "step")
        except Mismatch as mismatch:
            error = str(mismatch)
        except SimTimeoutError:
            error = f"{case.name} must end within {case.limit} cycles"
        except Exception:
            error = traceback.format_exc()
        count = unit.count if unit else 0
        if error and unit:
            time_now = round(cocotb.utils.get_sim_time("step"))
            where = f"in cycle {count} of {case.name}, at time {time_now} of the waves"
            error = "\n  ".join([error, *unit.given, where])
        seconds = time.perf_counter() - started
        line = {"case": case.name, "error": error, "cycles": count, "seconds": seconds}
        with results.open("a", encoding="utf-8") as file:
            file.write(json.dumps(line) + "\n")

    return run


def _tests() -> None:
    order = json.loads(Path(os.environ["ALULA_BENCH"]).read_text(encoding="utf-8"))
    bench = _load(order["file"], order["bench"])
    wanted = set(order["cases"])
    for index, case in enumerate(bench.cases):
        if case.name in wanted:
            run = _test(bench, case, order["seed"], Path(order["results"]))
            globals()[f"case_{index}"] = cocotb.test(name=case.name)(run)


if "ALULA_BENCH" in os.environ:
    _tests()
