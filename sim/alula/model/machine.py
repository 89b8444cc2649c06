"""The machine as a host sees it: load an image, write, run a program, read."""

from collections.abc import Callable, Mapping
from random import Random
from typing import Any

import numpy as np

from alula.design import Design
from alula.isa import Image, MalformedProgram, Program, check_structure, format_op
from alula.model.checks import Checks
from alula.model.counters import Counters
from alula.model.errors import MachineError, OutOfRange, UndefinedBehaviour
from alula.model.kernels.compiled import start_threads
from alula.model.prepared import PreparedOp, prepare
from alula.model.scheduler import Retired, Scheduler
from alula.model.sequencer import Sequencer
from alula.model.state import State

_KEPT_PROGRAMS = 16


class Machine:
    """The bit-exact machine of a design. Everything is zero until `load`.

    `watchdog`: instructions after which a run is taken to be endless.
    """

    def __init__(self, design: Design, *, watchdog: int = 100_000_000) -> None:
        start_threads()
        self.design = design
        self.watchdog = watchdog
        self.state = State(design)
        self._checks = Checks(self.state.sizes)
        self._steps: dict[bytes, tuple[PreparedOp, ...]] = {}

    def load(self, image: Image) -> None:
        """Put an image into memory and zero everything else, buffers included.

        Raises:
            MachineError: the image is for another design.
            OutOfRange: memory is too small for it.
        """
        self._check_hash("image", image.design_hash)
        memory = self.state.memory
        beats = max(image.beats, image.data.shape[0])
        if beats > memory.beats:
            raise OutOfRange(f"image must be at most {memory.beats} beats, not {beats}")
        self.state.clear()
        memory.fill(0, np.ascontiguousarray(image.data).reshape(-1))

    def write(self, beat: int, data: bytes | bytearray | memoryview | np.ndarray) -> None:
        """Write bytes to memory from the start of a beat.

        Raises:
            OutOfRange: they do not fit there.
        """
        if isinstance(data, np.ndarray):
            raw = np.ascontiguousarray(data).reshape(-1).view(np.uint8)
        else:
            raw = np.frombuffer(data, np.uint8)
        memory = self.state.memory
        memory.check("write", beat, -(-raw.size // memory.width))
        memory.fill(beat, raw)

    def read(self, beat: int, count: int) -> np.ndarray:
        """`count` beats of memory, a copy: uint8 [count, bytes of a beat].

        Raises:
            OutOfRange: there are not so many.
        """
        memory = self.state.memory
        memory.check("read", beat, count)
        start, end = (place * memory.width for place in (beat, beat + count))
        return memory.bytes[start:end].reshape(count, -1).copy()

    def run(
        self,
        program: Program,
        inputs: Mapping[str, int],
        *,
        on_retire: Callable[[Retired], None] | None = None,
        shuffle: Random | None = None,
    ) -> Counters:
        """Run a program to its END. Buffers and memory keep their contents from run to run.

        `inputs`: a value for each of the program's inputs. `on_retire` is called after each
        instruction. `shuffle` executes in any order that queues and tokens allow, chosen at random,
        instead of the program's.

        Raises:
            MachineError: the program is for another design, an input is missing or unknown, or the
                program went wrong; memory and buffers are then as that instruction left them.
        """
        self._check_hash("program", program.design_hash)
        steps = self._steps.get(program.code)
        if steps is None:
            steps = self._prepared(program)
            if len(self._steps) >= _KEPT_PROGRAMS:
                self._steps.clear()
            self._steps[program.code] = steps
        state = self.state
        sequencer = Sequencer(state)
        for register, value in program.constants.items():
            sequencer.set(register, value)
        self._set_inputs(sequencer, program, inputs)
        state.stream.clear()
        state.clear_totals()
        scheduler = Scheduler(
            state, program, steps, sequencer, int(inputs.get("first_layer", 0)), self.watchdog,
            on_retire, shuffle,
        )  # fmt: skip
        scheduler.run()
        return self._counters(scheduler)

    def _prepared(self, program: Program) -> tuple[PreparedOp, ...]:
        try:
            check_structure(program.ops, self.design)
        except MalformedProgram as error:
            address = error.address
            fault = UndefinedBehaviour(error.fault)
            origin = program.origins[address] if address < len(program.origins) else ""
            text = format_op(program.ops[address]) if address < len(program) else "no instruction"
            fault.at(text, address, (), origin)
            raise fault from None
        return prepare(program, self._checks)

    def _set_inputs(
        self, sequencer: Sequencer, program: Program, inputs: Mapping[str, Any]
    ) -> None:
        if set(inputs) != set(program.inputs):
            expected = ", ".join(sorted(program.inputs)) or "none"
            actual = ", ".join(sorted(inputs)) or "none"
            raise MachineError(f"inputs of {program.name} must be {expected}, not {actual}")
        for name, register in program.inputs.items():
            value = int(inputs[name])
            if not 0 <= value < 1 << 32:
                raise OutOfRange(f"input {name} must be 0..{(1 << 32) - 1}, not {value}")
            sequencer.set(register, value)

    def _check_hash(self, what: str, actual: str) -> None:
        if actual != self.design.hash:
            expected = f"for design {self.design.name} ({self.design.hash})"
            raise MachineError(f"{what} must be {expected}, not for {actual}")

    def _counters(self, scheduler: Scheduler) -> Counters:
        state = self.state
        counts = scheduler.counts
        moved = {"bytes_read": state.bytes_read, "bytes_written": state.bytes_written}
        return Counters(sum(counts), *counts, **moved, macs=state.macs)
