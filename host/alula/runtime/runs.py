"""What the accelerator's runs took, and their sum for an answer of the simulated gateware."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from alula.design import Design
from alula.runtime.split import Phase


@dataclass(frozen=True)
class Run:
    """One run of a program on a device.

    Attributes:
        phase: which program.
        position: tokens before the run.
        tokens: tokens of the run.
        needed: bytes that any design must read for it; see `alula.mapper.Traffic`.
        counters: what the device counted.
        seconds: wall clock.
    """

    phase: Phase
    position: int
    tokens: int
    needed: int
    counters: Mapping[str, int]
    seconds: float


def rtl_report(runs: Sequence[Run], design: Design) -> dict[str, object]:
    """Return what simulated runs took, for JSON.

    Cycles and bytes are those of all runs. What is said of a token is said of the decoded ones, or
    of the prompt's if nothing was decoded. Efficiencies take the bytes that any design must read
    as the numerator: `dram_efficiency` over what memory could move in the same cycles.
    """
    decoded = [run for run in runs if run.phase == "decode"] or runs
    cycles = _total(decoded, "cycles")
    tokens = sum({run.position: run.tokens for run in decoded}.values())
    needed = sum(run.needed for run in decoded)
    seconds = sum(run.seconds for run in runs)
    all_cycles = _total(runs, "cycles")
    return {
        "rtl_cycles": all_cycles,
        "cycles_per_token": cycles / tokens,
        "dram_read_bytes": _total(runs, "bytes_read"),
        "dram_write_bytes": _total(runs, "bytes_written"),
        "dram_efficiency": needed / (cycles * design.bytes_per_cycle),
        "sim_cycles_per_s": all_cycles / seconds,
        "runs": [
            {
                "phase": run.phase,
                "position": run.position,
                "tokens": run.tokens,
                "must_read_bytes": run.needed,
                **run.counters,
                "seconds": run.seconds,
            }
            for run in runs
        ],
    }


def _total(runs: Sequence[Run], counter: str) -> int:
    return sum(run.counters[counter] for run in runs)
