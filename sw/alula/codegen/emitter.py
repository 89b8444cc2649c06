"""Collects the steps of a program: loops, named registers, what each step reads and writes."""

import struct
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager

from alula.codegen.schedule import Loop, ScheduledOp, schedule
from alula.isa import Engine, Op, Program, Ref, encode_all
from alula.isa.encoding import Value
from alula.isa.fields import REGISTERS, Operand
from alula.isa.instructions import BY_NAME
from alula.isa.run_inputs import INPUTS


class OutOfRegisters(ValueError):
    """A program that needs more registers than there are."""


class Emitter:
    """Builds one program.

    Registers are named: a name gets a number where it first appears, and gives it back at the end
    of the innermost `scratch` around that place.
    """

    def __init__(self, name: str, design_hash: str) -> None:
        self.name = name
        self.design_hash = design_hash
        self.registers = {register: number for number, register in enumerate(INPUTS, 1)}
        self.constants: dict[int, int] = {}
        self.origin = ""
        self._items: list[ScheduledOp | Loop] = []
        self._layer_loops: list[tuple[ScheduledOp, int]] = []

    def number(self, register: str) -> int:
        """The number of a named register."""
        if register not in self.registers:
            free = set(range(1, REGISTERS)) - set(self.registers.values())
            if not free:
                raise OutOfRegisters(
                    f"registers must be at most {REGISTERS - 1}, not one more for {register}"
                )
            self.registers[register] = min(free)
        return self.registers[register]

    @contextmanager
    def scratch(self) -> Iterator[None]:
        """Registers first named inside are free again afterwards."""
        before = set(self.registers)
        yield
        for name in set(self.registers) - before:
            del self.registers[name]

    def reg(self, register: str, offset: int = 0) -> Ref:
        """An operand: a named register plus an offset."""
        return Ref(self.number(register), offset)

    def real(self, register: str, value: float) -> int:
        """The number of a named register that gets a number, rounded to fp32."""
        (bits,) = struct.unpack("<I", struct.pack("<f", value))
        self.op("LI", rd=self.number(register), value=bits)
        return self.registers[register]

    def constant(self, register: str, value: int) -> None:
        """Name a register whose value is in the program's table, not in its code."""
        self.constants[self.number(register)] = value

    def op(
        self, name: str, *, reads: Iterable[str] = (), writes: Iterable[str] = (), **values: Value
    ) -> None:
        """Add an instruction; `reads` and `writes` name the resources that it touches.

        An offset that an operand's field is too short for goes through a register.
        """
        with self.scratch():
            held = {field: self._within(name, field, value) for field, value in values.items()}
            self._add(Op(name, held), frozenset(reads), frozenset(writes))

    def _within(self, name: str, field: str, value: Value) -> Value:
        if isinstance(value, str) or not isinstance(BY_NAME[name].field(field), Operand):
            return value
        register, offset = value if isinstance(value, Ref) else (0, value)
        if offset <= most_offset(name, field):
            return value
        number = self.number(f"long {field}")
        if register:
            self._add(Op("SADD", {"rd": number, "a": register, "b": offset}))
        else:
            self._add(Op("LI", {"rd": number, "value": offset}))
        return Ref(number)

    def _add(
        self, op: Op, reads: frozenset[str] = frozenset(), writes: frozenset[str] = frozenset()
    ) -> None:
        self._items.append(ScheduledOp(op, self.origin, reads, writes))

    def alu(self, name: str, rd: str, a: str | None, b: Ref | int) -> None:
        """Add register arithmetic: `rd = a op b`, `a` None for r0."""
        source = 0 if a is None else self.number(a)
        self.op(name, rd=self.number(rd), a=source, b=b)

    def add(self, rd: str, a: str | None, b: Ref | int) -> None:
        """`rd = a + b`."""
        self.alu("SADD", rd, a, b)

    def ceil_div(self, rd: str, a: str, by: int) -> None:
        """`rd = ceil(a / by)`."""
        self.add(rd, a, by - 1)
        self.alu("SDIV", rd, rd, by)

    @contextmanager
    def loop(self, count: Ref | int, *, layers: int | None = None) -> Iterator[None]:
        """A loop around what is added inside; `layers`: its iterations are layers from that on."""
        head = ScheduledOp(Op("LOOP", {"count": count}), self.origin)
        outer, self._items = self._items, []
        yield
        outer.append(Loop(head, self._items))
        self._items = outer
        if layers is not None:
            self._layer_loops.append((head, layers))

    def finish(self) -> Program:
        """The program, synchronised and encoded."""
        steps = schedule(self._items)
        code = encode_all(
            Op(step.op.name, step.op.values, frozenset(step.wait), frozenset(step.signal))
            for step in steps
        )
        addresses = {id(step): address for address, step in enumerate(steps)}
        loops = {addresses[id(head)]: first for head, first in self._layer_loops}
        inputs: Mapping[str, int] = {name: self.registers[name] for name in INPUTS}
        origins = tuple(_generic(step.origin) for step in steps)
        return Program(
            self.name, self.design_hash, code, dict(self.constants), inputs, origins, loops
        )


def most_offset(name: str, field: str) -> int:
    """The largest offset that an operand of an instruction has room for."""
    operand = BY_NAME[name].field(field)
    assert isinstance(operand, Operand)
    return (1 << operand.bits) - 1


def _generic(origin: str) -> str:
    """A unit of the layer IR as `Program.origins` names it."""
    return origin.replace("layers.*-1", "layers.{layer-1}").replace("layers.*", "layers.{layer}")


def engine_of(many_rows: bool) -> Engine:
    """MM where weights are shared by more rows than one pass holds, else MV."""
    return Engine.MM if many_rows else Engine.MV
