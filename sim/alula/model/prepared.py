"""A program prepared to run: each instruction with its handler, and what is left to resolve."""

from typing import Any

from alula.isa import Engine, Op, Program, Ref
from alula.isa.fields import Operand, RegisterField
from alula.model.checks import Checks

ENGINES = len(Engine)


class PreparedOp:
    """One instruction.

    Attributes:
        values: The handler's arguments; those named by `refs` are still to be filled in.
        refs: (index in `values`, register, offset) of each operand that reads a register.
        waits, signals: Token counters, `producer * ENGINES + consumer`.
        plain: Whether all it does is change registers.
        pushes, takes: Whether it fills the weight stream or takes its head.
    """

    __slots__ = (
        "address",
        "engine",
        "handler",
        "op",
        "plain",
        "pushes",
        "refs",
        "signals",
        "takes",
        "values",
        "waits",
    )

    def __init__(self, address: int, op: Op, checks: Checks) -> None:
        instruction = op.instruction
        engine = int(instruction.engine)
        self.address, self.op, self.engine = address, op, engine
        self.handler = checks.handler(op)
        self.waits = tuple(other * ENGINES + engine for other in sorted(op.wait))
        self.signals = tuple(engine * ENGINES + other for other in sorted(op.signal))
        self.pushes = op.name == "LD.W"
        self.takes = op.name in ("MM", "MV")
        plain = instruction.engine is Engine.SYS and op.name != "END"
        self.plain = plain and not (op.wait or op.signal)
        self.values: list[Any] = []
        refs = []
        for field in instruction.fields:
            value: Any = op.values[field.name]
            if isinstance(field, Operand):
                value = value if isinstance(value, Ref) else Ref(0, value)
            elif isinstance(field, RegisterField) and field.name != "rd":
                value = Ref(value, 0)
            if isinstance(value, Ref):
                if value.register:
                    refs.append((len(self.values), value.register, value.offset))
                value = value.offset
            self.values.append(value)
        self.refs = tuple(refs)


def prepare(program: Program, checks: Checks) -> tuple[PreparedOp, ...]:
    """The prepared instructions of a program. IsaError if it cannot be decoded."""
    return tuple(PreparedOp(address, op, checks) for address, op in enumerate(program.ops))
