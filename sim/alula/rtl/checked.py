"""The gateware beside the machine model: the same memory, the same programs, compared."""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from alula.design import Design
from alula.isa import Engine, Image, Program, Region
from alula.model import Counters, Machine
from alula.progress import Progress, silent
from alula.rtl.device import Outcome, RtlDevice, Timing, Waves
from alula.rtl.retirement_log import RetirementLog
from alula.rtl.snapshot import differing

_SHOWN = 16


class MemoryMismatch(Exception):
    """Memory is not the machine model's after a run. Prints in one line.

    Attributes:
        program: name of what ran.
        beat, byte: the first difference, and its place in the beat.
        region: name of the image's region that holds it; "" if none does.
        expected, found: the machine model's bytes from there on, and the gateware's.
        count: bytes that differ.
    """

    def __init__(
        self,
        program: str,
        place: int,
        width: int,
        region: str,
        expected: bytes,
        found: bytes,
        count: int,
    ) -> None:
        self.program, self.region, self.count = program, region, count
        self.beat, self.byte = divmod(place, width)
        self.expected, self.found = expected, found
        where = f"beat {self.beat}, byte {self.byte}" + (f" ({region})" if region else "")
        super().__init__(
            f"memory after {program} must be the machine model's, not differ in {count} bytes, the "
            f"first at {where}: must be {expected.hex()}, not {found.hex()}"
        )


@dataclass(frozen=True)
class CheckedRun:
    """A run that left the same memory on both.

    Attributes:
        outcome: what it took in the gateware.
        model: what the machine model counted.
        seconds: wall clock of the gateware's run alone.
    """

    outcome: Outcome
    model: Counters
    seconds: float


class CheckedDevice:
    """A gateware device and a machine model that are given the same. All of memory is compared.

    Args:
        design: one that `RtlDevice` takes.
        timing: of the gateware's memory.
        patience: see `RtlDevice`.
        waves: see `RtlDevice`.
        progress: called for each step of the build.

    Raises:
        ToolchainError: the gateware cannot be built.
    """

    def __init__(
        self,
        design: Design,
        *,
        timing: Timing | None = None,
        patience: int = 50_000,
        waves: Waves | None = None,
        progress: Progress = silent,
    ) -> None:
        self.design = design
        self.machine = Machine(design)
        self.device = RtlDevice(
            design, timing=timing, patience=patience, waves=waves, progress=progress
        )
        self.regions: Mapping[str, Region] = {}

    def load(self, image: Image) -> None:
        """Load an image into both. MachineError if it is for another design or too large."""
        self.machine.load(image)
        self.device.load(image)
        self.regions = image.regions

    def write(self, beat: int, data: bytes | bytearray | memoryview | np.ndarray) -> None:
        """Write bytes to both memories from the start of a beat."""
        self.machine.write(beat, data)
        self.device.write(beat, data)

    def read(self, beat: int, count: int) -> np.ndarray:
        """`count` beats of the gateware's memory, a copy: uint8 [count, bytes of a beat]."""
        return self.device.read(beat, count)

    def run(
        self,
        program: Program,
        inputs: Mapping[str, int],
        watch: Callable[[int, Counters], None] = lambda cycles, counters: None,
    ) -> CheckedRun:
        """Run a program on both, the machine model first, and compare their memories.

        `watch` is called now and then with the cycles of the gateware's run so far, from 0 on, and
        what the machine model counted.

        Raises:
            MachineError: the machine model refuses; the gateware has not started then.
            RtlError: the gateware's run did not end.
            MemoryMismatch: the memories differ.
        """
        self._log = RetirementLog()
        counters = self._run_machine(program, inputs)
        watch(0, counters)
        started = time.perf_counter()
        outcome = self._run_device(program, inputs, lambda cycles: watch(cycles, counters))
        seconds = time.perf_counter() - started
        self._compare(program.name)
        return CheckedRun(outcome, counters, seconds)

    def retired(self, engine: Engine) -> tuple[np.ndarray, Sequence[int], Sequence[str]]:
        """Return the cycles of an engine's retirements in the last run, addresses and units."""
        return self.device.retirements(engine), *self._log.listed(engine)

    def close(self) -> None:
        """End the simulation."""
        self.device.close()

    def _run_machine(self, program: Program, inputs: Mapping[str, int]) -> Counters:
        return self.machine.run(program, inputs, on_retire=self._log)

    def _run_device(
        self, program: Program, inputs: Mapping[str, int], watch: Callable[[int], None]
    ) -> Outcome:
        return self.device.run(program, inputs, watch, self._log)

    def _compare(self, program: str) -> None:
        expected, found = self.machine.state.memory.bytes, self.device.memory
        places = [
            part.start + np.flatnonzero(expected[part] != found[part])
            for part in differing(expected, found)
        ]
        if not places:
            return
        first, width = int(places[0][0]), self.design.bytes_per_cycle
        shown = slice(first, first + _SHOWN)
        raise MemoryMismatch(
            program,
            first,
            width,
            self._region(first // width),
            expected[shown].tobytes(),
            found[shown].tobytes(),
            sum(map(len, places)),
        )

    def _region(self, beat: int) -> str:
        return next((name for name, one in self.regions.items() if one.start <= beat < one.end), "")
