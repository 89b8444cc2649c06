"""Tier 2: the same run in RTL, of a model whose weights are all zero: cycles depend on no data."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Self

import numpy as np

from alula.cost.plans import Phase, plan_of, run_inputs
from alula.cost.predict import Cost
from alula.design import GROUP, Design
from alula.ir import Architecture, Precision
from alula.isa import Engine, Image
from alula.progress import Progress, silent
from alula.rtl.device import RtlDevice


def built_for(design: Design) -> Design:
    """Return the design that is built to simulate another: the same gateware, but for its hash.

    What only programs depend on, the context and the chunk of a prefill, is the least there is, so
    that designs which differ in nothing else share a build.
    """
    return design.replace({"context_max": GROUP, "prefill_chunk": design.mpe.tokens})


class Simulator:
    """The gateware of one design in Verilator, behind the design's DRAM.

    Args:
        design: what is simulated.
        progress: called for each step of the build.

    Raises:
        ToolchainError: Verilator or a C++ compiler is missing or fails.
    """

    def __init__(self, design: Design, progress: Progress = silent) -> None:
        self.design = design
        self._device = RtlDevice(built_for(design), progress=progress)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """End the simulation."""
        self._device.close()

    def run(
        self,
        shape: Architecture,
        phase: Phase,
        tokens: int = 1,
        position: int = 0,
        precision: Precision = Precision(),
        *,
        context: int | None = None,
        first_layer: int = 0,
        layers: int | None = None,
        embed: bool = True,
        head: bool = True,
    ) -> Cost:
        """Run what `predict` predicts, and return what it took: simulated, without error.

        `accounts` are empty: counters of engines do not say which wait was the longest chain's.

        Raises:
            DoesNotFit, UnsupportedShape, ValueError: see `predict`.
            RtlError: the run failed.
        """
        plan = plan_of(self.design, shape, phase, tokens, position, precision, context)
        beats = np.zeros((plan.memory.beats, self.design.bytes_per_cycle), np.uint8)
        built = self._device.design.hash
        self._device.load(Image(built, beats, plan.memory.regions))
        program = plan.decode if phase == "decode" else plan.prefill
        inputs = run_inputs(
            shape, tokens, position, embed=embed, first_layer=first_layer, layers=layers, head=head
        )
        done = self._device.run(replace(program, design_hash=built), inputs.registers())
        return Cost(
            cycles=done.cycles,
            by_engine=_busy(done.counters),
            accounts={},
            bytes_read=done.bytes_read,
            bytes_written=done.bytes_written,
            seconds=done.cycles / self.design.clock_hz,
            bound=0.0,
            error=0.0,
        )


def _busy(counters: Mapping[str, int]) -> dict[str, float]:
    return {engine.name: counters[f"{engine.name.lower()}.busy"] for engine in Engine}
