"""The gateware in Verilator as a device, checked against the machine model run by run."""

import weakref
from collections.abc import Mapping
from pathlib import Path

from alula.design import Design
from alula.isa import Engine, Image, Program
from alula.model import Counters
from alula.progress import Progress, silent
from alula.rtl.checked import CheckedDevice, MemoryMismatch
from alula.rtl.device import Waves
from alula.rtl.lockstep_device import LockstepDevice
from alula.rtl.report import OutOfStep
from alula.runtime.device import Bytes
from alula.runtime.errors import DeviceError, MismatchError, OutOfStepError
from alula.runtime.runs import EngineRetirements

_STREAMED = 0.92
"""Beats a cycle, and share of the peak, that a run is expected to reach: for time left only."""


class GatewareDevice:
    """Runs programs on the simulated gateware, cycle by cycle.

    The machine model runs each program too, and all of memory must be the same afterwards.

    Args:
        design: the accelerator.
        progress: called with how far the build and each run are.
        lockstep: compare every retirement too; waves of the first that differs go into this file.
        waves: of some cycles; complete once the device is closed, or gone.

    Attributes:
        counters: what the last run counted in the gateware, and the machine model's `macs`; engine
            by engine the cycles it was busy, starved, blocked and idle, as `ld.busy`.
        seconds: wall clock of the last run's simulation, without the machine model's.
        retired: what each engine retired in the last run, and when.

    Raises:
        DeviceError: waves are asked for in both ways.
        RtlError: the gateware cannot be of this design.
        ToolchainError: the gateware cannot be built on this machine.
    """

    name = "rtl"

    def __init__(
        self,
        design: Design,
        progress: Progress = silent,
        *,
        lockstep: Path | None = None,
        waves: Waves | None = None,
    ) -> None:
        if waves is not None and lockstep is not None:
            raise DeviceError("waves must be of a window or of what lock step finds, not of both")
        self._design = design
        self._progress = progress

        def building(stage: str, done: int, total: int) -> None:
            progress(f"building the simulator: {stage}", done, total)

        if lockstep is None:
            self._pair = CheckedDevice(design, waves=waves, progress=building)
        else:
            self._pair = LockstepDevice(design, waves=lockstep, progress=building)
        self._finish = weakref.finalize(self, self._pair.close)
        self.counters: Mapping[str, int] = {}
        self.seconds = 0.0
        self.retired: tuple[EngineRetirements, ...] = ()

    def close(self) -> None:
        """End the simulation, and the file of its waves."""
        self._finish()

    def load(self, image: Image) -> None:
        """Make memory what an image says. MachineError if it is for another design."""
        self._pair.load(image)

    def write(self, beat: int, data: Bytes) -> None:
        """Write whole beats, uint8 [count, bytes of a beat]."""
        self._pair.write(beat, data)

    def read(self, beat: int, count: int) -> Bytes:
        """Return beats, uint8 [count, bytes of a beat]."""
        return self._pair.read(beat, count)

    def run(self, program: Program, inputs: Mapping[str, int]) -> None:
        """Run a program to its end.

        Raises:
            MachineError: the program cannot be; the gateware has not started then.
            RtlError: the gateware did not reach the program's end.
            MismatchError: it left another memory than the machine model.
            OutOfStepError: in lock step, it left the machine model's steps.
        """

        def watch(cycles: int, counters: Counters) -> None:
            beats = counters.bytes_read / self._design.bytes_per_cycle
            products = counters.macs / self._design.macs_per_cycle
            total = int(max(beats, products) / _STREAMED)
            self._progress(f"{program.name} in RTL, cycle {cycles:,}", min(cycles, total), total)

        try:
            done = self._pair.run(program, inputs, watch)
        except OutOfStep as found:
            raise OutOfStepError(str(found), found.lines) from None
        except MemoryMismatch as found:
            advice = "in lock step (--lockstep) the instruction is found"
            message = f"{found}; {advice}"
            raise MismatchError(message, found.beat, found.byte, found.region) from None
        self.seconds = done.seconds
        self.retired = tuple(
            EngineRetirements(engine, *self._pair.retired(engine)) for engine in Engine
        )
        self.counters = {
            "cycles": done.outcome.cycles,
            "bytes_read": done.outcome.bytes_read,
            "bytes_written": done.outcome.bytes_written,
            "macs": done.model.macs,
            **done.outcome.counters,
        }
