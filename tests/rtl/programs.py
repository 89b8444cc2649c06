"""The same program on the gateware and on the machine model."""

from __future__ import annotations

from tests.model.bench import program

from alula.design import load_design
from alula.rtl.device import Outcome, Timing
from alula.rtl.lockstep_device import LockstepDevice

NANO = load_design("nano")
"""One core, one channel, a row block of two rows, four lanes."""


class Pair(LockstepDevice):
    """A device and a machine that run listings in lock step."""

    def __init__(self, timing: Timing | None = None) -> None:
        super().__init__(NANO, timing=timing)

    def listing(self, text: str, **constants: int) -> Outcome:
        """Run a listing on both, constants named r1, r2 ..."""
        registers = {int(name[1:]): value for name, value in constants.items()}
        return self.run(program(self.design, text, constants=registers), {}).outcome
