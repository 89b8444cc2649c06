"""The same program on the gateware and on the machine model."""

from __future__ import annotations

from tests.model.bench import program

from alula.design import load_design
from alula.rtl.checked import CheckedDevice
from alula.rtl.device import Outcome, Timing

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


class Pair(CheckedDevice):
    """A device and a machine that run listings."""

    def __init__(self, timing: Timing | None = None) -> None:
        super().__init__(SMALL, timing=timing)

    def listing(self, text: str, **constants: int) -> Outcome:
        """Run a listing on both, constants named r1, r2 ..."""
        registers = {int(name[1:]): value for name, value in constants.items()}
        return self.run(program(self.design, text, constants=registers), {}).outcome
