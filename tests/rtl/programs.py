"""The same program on the gateware and on the machine model."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from tests.model.bench import program

from alula.codegen import Build
from alula.design import Design, load_design
from alula.isa import Program, RunInputs
from alula.rtl.checked import CheckedDevice, CheckedRun
from alula.rtl.device import Outcome, Timing
from alula.rtl.lockstep_device import LockstepDevice

NANO = load_design("nano")
"""One core, one channel, a row block of two rows, four lanes."""
CORES = NANO.replace({"cores": 2, "memory.channels": 2, "part.dsp": 400})
"""Two of them, which are more than its chip has multipliers for."""
SPARSE = load_design("nano-sparse")
"""The same sizes, with N:M patterns."""


class Runs(CheckedDevice):
    """A device and a machine that run listings and models. Both move the same bytes."""

    def run(self, program: Program, inputs: Mapping[str, int], *watch: Any) -> CheckedRun:
        done = super().run(program, inputs, *watch)
        for name in ("bytes_read", "bytes_written"):
            expected, found = getattr(done.model, name), getattr(done.outcome, name)
            assert found == expected, f"{name} of {program.name} must be {expected}, not {found}"
        return done

    def listing(self, text: str, **constants: int) -> Outcome:
        """Run a listing on both, constants named r1, r2 ..."""
        registers = {int(name[1:]): value for name, value in constants.items()}
        return self.run(program(self.design, text, constants=registers), {}).outcome

    def prefill_and_decode(self, build: Build, ids: list[int]) -> None:
        """Run a prompt and the token after it, from an image loaded anew."""
        self.load(build.image)
        position, result = 0, build.image.regions["result"].start
        for _ in range(2):
            self.run_model(build, ids, position)
            position += len(ids)
            ids = [int(self.read(result, 1).view(np.uint32)[0, 0])]

    def run_model(self, build: Build, ids: list[int], position: int) -> None:
        """Run prefill, for one token decode."""
        chunk, start = build.chunk, build.image.regions["ids"].start
        for index, first in enumerate(range(0, len(ids), chunk)):
            place = start + index * build.row_beats["ids"]
            self.write(place, np.array(ids[first : first + chunk], np.uint32))
        inputs = RunInputs(
            position=position,
            tokens=len(ids),
            layers=build.architecture.layers,
            logits=True,
            hidden_out=True,
        )
        program = build.decode if len(ids) == 1 else build.prefill
        self.run(program, inputs.registers())


class Pair(Runs, LockstepDevice):
    """A small design's, in lock step."""

    def __init__(self, timing: Timing | None = None, design: Design = NANO) -> None:
        super().__init__(design, timing=timing)
