"""The same program on the gateware and on the machine model."""

from __future__ import annotations

import numpy as np
from tests.model.bench import program

from alula.design import Design, load_design
from alula.isa import Image
from alula.model import Machine
from alula.rtl.device import Outcome, RtlDevice, Timing

SMALL = load_design("tiny").replace(
    {
        "prefill_chunk": 2,
        "memory.capacity_mib": 16,
        "buffers.stream_kib": 8,
        "buffers.vector_kib": 32,
        "buffers.activation_kib": 16,
        "buffers.staging_kib": 4,
        "buffers.program_kib": 16,
    }
)
"""One core, one channel, a row block of two rows, four lanes."""


class Pair:
    """A device and a machine with the same memory, compared after each run."""

    def __init__(self, design: Design = SMALL, timing: Timing | None = None) -> None:
        self.design = design
        self.machine = Machine(design)
        self.device = RtlDevice(design, timing=timing)

    def load(self, image: Image) -> None:
        """Load an image into both."""
        self.machine.load(image)
        self.device.load(image)

    def write(self, beat: int, data: np.ndarray) -> None:
        """Write to both memories."""
        self.machine.write(beat, data)
        self.device.write(beat, data)

    def run(self, text: str, **constants: int) -> Outcome:
        """Run a listing on both, constants named r1, r2 ...; their memories must be equal."""
        registers = {int(name[1:]): value for name, value in constants.items()}
        listing = program(self.design, text, constants=registers)
        self.machine.run(listing, {})
        outcome = self.device.run(listing, {})
        self.compare()
        return outcome

    def compare(self) -> None:
        """Compare all of both memories."""
        expected = self.machine.state.memory.bytes
        different = np.flatnonzero(expected != self.device.memory)
        width = self.design.bytes_per_cycle
        assert not different.size, (
            f"{different.size} bytes in beats {sorted(set((different // width).tolist()))[:20]}"
        )
