"""A program as arrays: what each step is, which fields it reads, what it says to the sequencer."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np

from alula.cost.kernels import trace
from alula.isa import Engine, Op, Program, Ref
from alula.isa.cycles import DISPATCH
from alula.isa.fields import Operand, Register
from alula.isa.formats import WEIGHT_FORMATS
from alula.isa.formula import numbers
from alula.isa.instructions import BY_NAME, INSTRUCTIONS, Instruction

_ARITHMETIC = {
    "LI": trace.LI,
    "SADD": trace.ADD,
    "SSUB": trace.SUB,
    "SMUL": trace.MUL,
    "SDIV": trace.DIV,
    "SMIN": trace.MIN,
    "ARG": trace.ZERO,
    "LOOP": trace.LOOP,
    "END": trace.END,
}


@cache
def operands(instruction: Instruction) -> tuple[str, ...]:
    """Return the fields whose values the sequencer finds, in order."""
    return tuple(
        field.name
        for field in instruction.fields
        if isinstance(field, Operand) or (isinstance(field, Register) and field.name != "rd")
    )


FIELDS = max(len(operands(instruction)) for instruction in INSTRUCTIONS)


@dataclass(frozen=True)
class Group:
    """Steps of one instruction of an engine with the same choices.

    Attributes:
        instruction: its declaration.
        fixed: what their choices and immediates are, as formulas take them; `FORMAT` of weights.
        addresses: where they stand.
    """

    instruction: Instruction
    fixed: Mapping[str, Any]
    addresses: np.ndarray


@dataclass(frozen=True)
class Listing:
    """A program's steps, a row of an array for each.

    Attributes:
        names: of the instructions.
        code: int64 [steps, 6], as `alula.cost.kernels.trace` has it; cycles are left out.
        sources: int64 [steps, fields, 2], as there.
        meetings: int64 [steps, 3]: engine, the engines that it waits for, those that it signals.
        groups: steps of engines, by instruction and choices.
        chunk_loop: address of the loop over chunks; -1: there is none.
    """

    names: tuple[str, ...]
    code: np.ndarray
    sources: np.ndarray
    meetings: np.ndarray
    groups: tuple[Group, ...]
    chunk_loop: int

    def timed(self, known: Mapping[str, int]) -> np.ndarray:
        """Return `code` with cycles, where latencies and sizes are known by name."""
        found = {name: _cycles(BY_NAME[name], known) for name in set(self.names)}
        code = self.code.copy()
        code[:, trace.COST] = [found[name] for name in self.names]
        return code


def listing(program: Program) -> Listing:
    """Return a program's steps."""
    ops = program.ops
    code = np.zeros((len(ops), 6), np.int64)
    sources = np.zeros((len(ops), FIELDS, 2), np.int64)
    meetings = np.zeros((len(ops), 3), np.int64)
    groups: dict[object, tuple[Instruction, dict[str, Any], list[int]]] = {}
    for address, op in enumerate(ops):
        instruction = op.instruction
        masks = (sum(1 << engine for engine in engines) for engines in (op.wait, op.signal))
        meetings[address] = instruction.engine, *masks
        names = operands(instruction)
        for place, name in enumerate(names):
            sources[address, place] = _source(op, name)
        if instruction.engine is Engine.SYS:
            code[address, trace.KIND] = _ARITHMETIC.get(op.name, trace.OTHER)
            code[address, trace.TARGET] = op.values.get("rd", 0)
            code[address, trace.BODY] = op.values.get("body", 0)
            code[address, trace.NOTED] = op.name == "END" or bool(op.wait or op.signal)
            if op.name == "LI":
                sources[address, 0, trace.OFFSET] = op.values["value"]
        else:
            code[address, trace.NOTED] = 1
            fixed = {name: value for name, value in op.values.items() if name not in names}
            key = (op.name, *fixed.values())
            groups.setdefault(key, (instruction, fixed, []))[2].append(address)
    made = (Group(item, _known(fixed), np.array(places)) for item, fixed, places in groups.values())
    chunk_loop = _mark_loops(program, ops, code)
    names = tuple(op.name for op in ops)
    return Listing(names, code, sources, meetings, tuple(made), chunk_loop)


def _cycles(instruction: Instruction, known: Mapping[str, int]) -> int:
    """Cycles of the sequencer; those of a loop's turns are not the LOOP's."""
    if instruction.engine is not Engine.SYS:
        return DISPATCH({**known, "OPERANDS": len(operands(instruction))})
    return instruction.cycles.formula({**known, "count": 0})


def _known(fixed: Mapping[str, Any]) -> Mapping[str, Any]:
    """Choices and immediates as formulas take them, and the weight format itself."""
    found = numbers(fixed)
    if "nm" in fixed:
        found["FORMAT"] = WEIGHT_FORMATS[fixed["fmt"], fixed["nm"]]
    return found


def _source(op: Op, name: str) -> tuple[int, int]:
    value = op.values[name]
    if isinstance(value, Ref):
        return value.register, value.offset
    operand = isinstance(op.instruction.field(name), Operand)
    return (0, int(value)) if operand else (int(value), 0)


def _mark_loops(program: Program, ops: Sequence[Op], code: np.ndarray) -> int:
    """Mark loops over layers, and the outermost loop around them, which is over chunks."""
    around: list[tuple[int, int]] = []
    chunk_loop = -1
    for address, op in enumerate(ops):
        while around and around[-1][1] == address:
            around.pop()
        if op.name == "LOOP":
            if address in program.layer_loops:
                code[address, trace.LOOPS] = trace.LAYERS
                if around:
                    chunk_loop = around[0][0]
                    code[chunk_loop, trace.LOOPS] = trace.CHUNKS
            around.append((address, address + 1 + int(code[address, trace.BODY])))
    return chunk_loop
