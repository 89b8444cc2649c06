"""The bit-exact machine model as a device."""

import time
from collections.abc import Mapping

from alula.design import Design
from alula.isa import Image, Program
from alula.model import Machine
from alula.runtime.device import Bytes


class ModelDevice:
    """Runs programs on the machine model, in this process.

    Args:
        design: the accelerator.

    Attributes:
        counters: what the last run counted, by name.
        seconds: wall clock of the last run.
    """

    name = "model"

    def __init__(self, design: Design) -> None:
        self._machine = Machine(design)
        self.counters: Mapping[str, int] = {}
        self.seconds = 0.0

    def load(self, image: Image) -> None:
        """Make memory what an image says. MachineError if it is for another design."""
        self._machine.load(image)

    def write(self, beat: int, data: Bytes) -> None:
        """Write whole beats, uint8 [count, bytes of a beat]."""
        self._machine.write(beat, data)

    def read(self, beat: int, count: int) -> Bytes:
        """Return beats, uint8 [count, bytes of a beat]."""
        return self._machine.read(beat, count)

    def run(self, program: Program, inputs: Mapping[str, int]) -> None:
        """Run a program to its end. MachineError names the instruction that cannot be."""
        started = time.perf_counter()
        self.counters = self._machine.run(program, inputs).as_dict()
        self.seconds = time.perf_counter() - started

    def close(self) -> None:
        """Do nothing: there is nothing to end."""
