"""The gateware in lock step with the machine model: stops where they part, and says where."""

from collections.abc import Callable, Mapping
from pathlib import Path

from alula.design import Design
from alula.folders import check_seekable
from alula.isa import Program
from alula.model import Counters, Retired
from alula.model.retirement import RetirementRecorder, Seeker
from alula.progress import Progress, silent
from alula.rtl.checked import CheckedDevice
from alula.rtl.device import Outcome, RtlDevice, Timing
from alula.rtl.lockstep import Diverged, Divergence, WaveWindow
from alula.rtl.report import OutOfStep
from alula.rtl.snapshot import Snapshot, copy

_SHOWN = 2000
"""Most cycles before a divergence that waves show."""


class LockstepDevice(CheckedDevice):
    """A `CheckedDevice` that compares every retirement as it happens.

    `run` raises `OutOfStep` besides what that of `CheckedDevice` raises. Both are then as they were
    before that run, but for the gateware's buffers.

    Args:
        design, timing, patience, progress: see `CheckedDevice`.
        waves: file for the cycles before a divergence, FST: the run is made once more for it, with
            a model built for waves. None: there are none.

    Raises:
        OSError: the waves' file cannot be written; besides what `CheckedDevice` raises.
    """

    def __init__(
        self,
        design: Design,
        *,
        timing: Timing | None = None,
        patience: int = 50_000,
        waves: Path | None = None,
        progress: Progress = silent,
    ) -> None:
        if waves is not None:
            check_seekable(waves)
        super().__init__(design, timing=timing, patience=patience, progress=progress)
        self._waves, self._progress = waves, progress

    def _run_machine(self, program: Program, inputs: Mapping[str, int]) -> Counters:
        self._snapshot = Snapshot(self.machine, self.device)
        self._recorder = RetirementRecorder(self.machine.state)
        counters = self.machine.run(program, inputs, on_retire=self._retired)
        self._snapshot.keep(self._recorder.stored)
        return counters

    def _retired(self, retired: Retired) -> None:
        self._log(retired)
        self._recorder(retired)

    def _run_device(
        self, program: Program, inputs: Mapping[str, int], watch: Callable[[int], None]
    ) -> Outcome:
        try:
            engines = self._recorder.engines
            return self.device.run(program, inputs, watch, self._log, engines)
        except Diverged as error:
            divergence = error.divergence
        self._snapshot.restore()
        place = (divergence.engine, divergence.index, divergence.core)
        seeker = Seeker(self.machine.state, *place)
        self.machine.run(program, inputs, on_retire=seeker)
        self._snapshot.restore()
        found = OutOfStep(self.design, program, divergence, seeker.found, self.regions)
        if self._waves is not None:
            found.waves = self._show(program, inputs, divergence, self._waves, watch)
        raise found

    def _show(
        self,
        program: Program,
        inputs: Mapping[str, int],
        divergence: Divergence,
        file: Path,
        watch: Callable[[int], None],
    ) -> str:
        """Run once more with waves of what came before a divergence; say where they are."""
        device = RtlDevice(
            self.design,
            timing=self.device.timing,
            patience=self.device.patience,
            traced=True,
            progress=self._progress,
        )
        copy(self.device.memory, device.memory)
        delay = max(0, divergence.cycle - divergence.before - _SHOWN)
        begin = max(0, divergence.index - 1)
        window = WaveWindow(file, divergence.engine, divergence.core, begin, delay)
        try:
            engines = self._recorder.engines
            device.run(program, inputs, watch, self._log, engines, window)
        except Diverged as error:
            again = error.divergence
            found = (again.engine, again.core, again.index)
            if found == (divergence.engine, divergence.core, divergence.index):
                return str(file)
        finally:
            device.close()
        return "none: with empty buffers the run does not diverge there"
