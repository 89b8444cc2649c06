"""The accelerator's driver: everything that a host does, through 32-bit registers alone."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Protocol

from alula.design import Design
from alula.gateware.control.activity import Activity
from alula.gateware.control.registers import Register
from alula.isa import IsaError, Program, check_structure
from alula.isa.encoding import INSTRUCTION_BYTES
from alula.isa.fields import REGISTERS
from alula.isa.instructions import Engine
from alula.rtl.diagnosis import Diagnosis, UnitOf

_IDENTITY = int.from_bytes(b"ALUL", "little")
_START, _RESET, _CLEAR, _RESET_AT_ONCE = 1, 2, 4, 8
_RUNNING, _ENDED, _FAULT, _RESETTING = 1, 2, 4, 8
_USE_BYTES = 8
_RESET_POLLS = 2000
_SLICE = 20_000
"""Cycles between two looks at a run."""


class RtlError(Exception):
    """A run that did not end as it should, and where, or what cannot be run. Prints in one line."""


class Bus(Protocol):
    """How a driver reaches the control port."""

    def write(self, address: int, value: int) -> None:
        """Write a register of 32 bits."""
        ...

    def read(self, address: int) -> int:
        """Read a register of 32 bits."""
        ...

    def wait(self, cycles: int) -> bool:
        """Wait for the interrupt; False if it has not come within so many cycles."""
        ...

    def forget(self) -> None:
        """Reset what lies between the accelerator and memory, so that nothing is owed."""
        ...


@dataclass(frozen=True)
class Outcome:
    """What a run took.

    `bytes_written` counts strobed bytes. `counters` has each engine's cycles of each `Activity`, as
    "ld.busy"; an engine's four add up to `cycles`.
    """

    cycles: int
    bytes_read: int
    bytes_written: int
    counters: Mapping[str, int]


class HostDriver:
    """Runs programs on an accelerator, one at a time.

    Registers, program, tokens and counters are set anew for each run; buffers keep what they hold,
    and so does ARGMAX. A reset is made only before the run that follows one that did not end.

    Args:
        bus: the way to the control port.
        design: what must be at the other end.
        patience: cycles in which no engine works, after which a run is given up.
        limit: cycles that a run may take; 0 for any number.

    Raises:
        RtlError: at the other end is something else.
    """

    def __init__(self, bus: Bus, design: Design, *, patience: int, limit: int = 0) -> None:
        self.bus = bus
        self.patience, self.limit = patience, limit
        self._code = b""
        self._failed = True
        identity = bus.read(Register.IDENTITY)
        if identity != _IDENTITY:
            raise RtlError(f"identity must be {_IDENTITY:#x}, not {identity:#x}")
        actual = f"{self._wide(Register.HASH_LOW):016x}"
        if actual != design.hash:
            raise RtlError(f"the accelerator must be of design {design.hash}, not of {actual}")
        self._design = design

    def run(
        self,
        program: Program,
        inputs: Mapping[str, int],
        watch: Callable[[int], None] = lambda cycles: None,
        unit: UnitOf | None = None,
    ) -> Outcome:
        """Run a program to its END; `watch` is called now and then with the cycles so far.

        `unit` names the layer too; without it an instruction serves what the program says of it.

        Raises:
            RtlError: no machine of the design runs the program, its inputs are others, or the run
                did not end.
        """
        self.start(program, inputs)
        diagnosis = Diagnosis(self.bus, program, unit)
        cycles, worked = 0, 0
        work: list[int] = []
        while not self.bus.wait(step := self._step(cycles)):
            cycles += step
            watch(cycles)
            before, work = work, [self._counter(engine, Activity.BUSY) for engine in Engine]
            if work != before:
                worked = cycles
            limited = 0 < self.limit <= cycles
            if limited or cycles - worked >= self.patience:
                ends = "is at its limit" if limited else "makes no progress"
                waits = diagnosis.waits()
                raise RtlError(f"{program.name} {ends} after {cycles} cycles: {waits}")
        if self.bus.read(Register.STATUS) & _FAULT or not self._status(_ENDED):
            raise RtlError(f"{program.name}: {diagnosis.fault()}")
        self._failed = False
        return Outcome(
            cycles=self._wide(Register.CYCLES_LOW),
            bytes_read=self._wide(Register.READ_LOW),
            bytes_written=self._wide(Register.WRITTEN_LOW),
            counters={
                f"{engine.name}.{use.name}".lower(): self._counter(engine, use)
                for engine in Engine
                for use in Activity
            },
        )

    def start(self, program: Program, inputs: Mapping[str, int]) -> None:
        """Write program and registers and start; `run` waits for the end as well.

        Raises:
            RtlError: no machine of the design runs the program, or its inputs are others.
        """
        if set(inputs) != set(program.inputs):
            expected, found = sorted(program.inputs), sorted(inputs)
            raise RtlError(f"inputs of {program.name} must be {expected}, not {found}")
        try:
            check_structure(program.ops, self._design)
        except IsaError as error:
            raise RtlError(f"{program.name}: {error}") from None
        if self._failed:
            self.reset()
        self._failed = True
        bus = self.bus
        if program.code != self._code:
            bus.write(Register.PROGRAM_ADDRESS, 0)
            for place in range(0, len(program) * INSTRUCTION_BYTES, 4):
                part = program.code[place : place + 4]
                bus.write(Register.PROGRAM, int.from_bytes(part, "little"))
            self._code = program.code
        values = dict.fromkeys(range(1, REGISTERS), 0) | dict(program.constants)
        values |= {register: inputs[name] for name, register in program.inputs.items()}
        for register, value in values.items():
            bus.write(Register.REGISTERS + 4 * register, value)
        bus.write(Register.LENGTH, len(program))
        bus.write(Register.INTERRUPT, 1)
        bus.write(Register.CONTROL, _CLEAR)
        bus.write(Register.CONTROL, _START)

    def reset(self) -> None:
        """Stop everything and forget every fault; program, registers and buffers stay.

        Where memory does not answer what it was asked, `Bus.forget` resets that side too.
        """
        self.bus.write(Register.CONTROL, _RESET)
        if not self._is_reset():
            self.bus.forget()
            self.bus.write(Register.CONTROL, _RESET_AT_ONCE)
            if not self._is_reset():
                raise RtlError(f"a reset must end, not take {_RESET_POLLS} reads of the status")
        self._failed = False

    def _step(self, cycles: int) -> int:
        """Cycles until the next look at a run of so many."""
        step = min(_SLICE, self.patience)
        return min(step, self.limit - cycles) if self.limit else step

    def _is_reset(self) -> bool:
        return any(not self._status(_RESETTING) for _ in range(_RESET_POLLS))

    def _status(self, bit: int) -> bool:
        return bool(self.bus.read(Register.STATUS) & bit)

    def _counter(self, engine: Engine, use: Activity) -> int:
        place = len(Activity) * engine + use.value
        return self._wide(Register.COUNTERS + _USE_BYTES * place)

    def _wide(self, low: int) -> int:
        """Read 64 bits; the low half comes first."""
        return self.bus.read(low) | self.bus.read(low + 4) << 32
