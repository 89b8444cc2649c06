"""What the accelerator's runs took, and their sum for an answer of the simulated gateware."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from alula.design import Design
from alula.isa import Engine, Program
from alula.runtime.split import Phase


@dataclass(frozen=True)
class EngineRetirements:
    """What an engine of the gateware retired in a run, in order.

    Attributes:
        engine: it.
        cycles: uint64, from the run's start to each retirement; of the first million alone.
        addresses: of the instructions in the program.
        units: which part of the model each serves.
    """

    engine: Engine
    cycles: np.ndarray
    addresses: Sequence[int]
    units: Sequence[str]


@dataclass(frozen=True)
class Run:
    """One run of a program on a device.

    Attributes:
        phase: which program.
        position: tokens before the run.
        tokens: tokens of the run.
        must_read: bytes that any design must read for it; see `alula.mapper.Traffic`.
        must_write: bytes that it must write; logits that were asked for are not among them.
        counters: what the device counted.
        seconds: wall clock.
        program: what ran.
        inputs: values of the program's inputs.
        retired: what each engine retired, if the device saw it.
    """

    phase: Phase
    position: int
    tokens: int
    must_read: int
    must_write: int
    counters: Mapping[str, int]
    seconds: float
    program: Program
    inputs: Mapping[str, int]
    retired: Sequence[EngineRetirements] = ()


def rtl_report(runs: Sequence[Run], design: Design) -> dict[str, object]:
    """Return what simulated runs took, for JSON.

    Cycles, bytes and counters are those of all runs; an engine's counters add up to the cycles.
    What is said of a token is said of the decoded ones, or of the prompt's if nothing was decoded.
    Both efficiencies count the bytes that any design must read: `stream_efficiency` over what a
    plain sequential reader gets from the same memory in the same cycles, `dram_efficiency` over the
    memory's peak. `tokens_per_s` is at the best known clock (`alula.synth.clock`), which is beside
    it: `clock_mhz`, and whether it is placed, estimated or declared (`clock`). `predicted_cycles`
    of a run are the cycle model's (`alula.cost`).

    Raises:
        ToolchainError: there is no C++ compiler.
    """
    from alula.cost import time_program
    from alula.rtl.plain_reader import dram_efficiency, sequential_bytes
    from alula.synth.clock import clock_of

    decoded = [run for run in runs if run.phase == "decode"] or runs
    cycles = _total(decoded, "cycles")
    tokens = sum({run.position: run.tokens for run in decoded}.values())
    needed = sum(run.must_read for run in decoded)
    sequential = sum(sequential_bytes(design, run.counters["cycles"]) for run in decoded)
    seconds = sum(run.seconds for run in runs)
    all_cycles = _total(runs, "cycles")
    clock = clock_of(design)
    return {
        "rtl_cycles": all_cycles,
        "cycles_per_token": cycles / tokens,
        "tokens_per_s": clock.mhz * 1e6 * tokens / cycles,
        "clock_mhz": clock.mhz,
        "clock": clock.source,
        "dram_read_bytes": _total(runs, "bytes_read"),
        "dram_write_bytes": _total(runs, "bytes_written"),
        "dram_efficiency": dram_efficiency(design, needed, cycles),
        "stream_efficiency": needed / sequential,
        "sim_cycles_per_s": all_cycles / seconds,
        "counters": _engines(runs),
        "runs": [
            {
                "phase": run.phase,
                "position": run.position,
                "tokens": run.tokens,
                "must_read_bytes": run.must_read,
                "must_write_bytes": run.must_write,
                **{name: value for name, value in run.counters.items() if "." not in name},
                "predicted_cycles": time_program(run.program, design, run.inputs).cycles,
                "seconds": run.seconds,
            }
            for run in runs
        ],
    }


def _total(runs: Sequence[Run], counter: str) -> int:
    return sum(run.counters[counter] for run in runs)


def _engines(runs: Sequence[Run]) -> dict[str, dict[str, int]]:
    """Cycles of each use of each engine: counters called `engine.use`."""
    found: dict[str, dict[str, int]] = {}
    for name in runs[0].counters:
        engine, dot, use = name.partition(".")
        if dot:
            found.setdefault(engine, {})[use] = _total(runs, name)
    return found
