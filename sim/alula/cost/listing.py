"""A program as arrays: what each step is, which fields it reads, what it says to the sequencer."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from alula.cost.kernels import trace
from alula.isa import Engine, Op, Program, Ref
from alula.isa.cycles import DISPATCH
from alula.isa.fields import Operand, RegisterField
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


OPERANDS = {
    instruction.name: tuple(
        field.name
        for field in instruction.fields
        if isinstance(field, Operand) or (isinstance(field, RegisterField) and field.name != "rd")
    )
    for instruction in INSTRUCTIONS
}
"""The fields of instructions whose values the sequencer finds, in order, by their names."""
FIELDS = max(map(len, OPERANDS.values()))


@dataclass(frozen=True)
class Group:
    """Steps of one instruction of an engine with the same choices.

    Attributes:
        instruction: its declaration.
        fixed: what their choices and immediates are, as formulas take them; `FORMAT` of weights.
    """

    instruction: Instruction
    fixed: Mapping[str, Any]


@dataclass(frozen=True)
class Listing:
    """A program's steps, a row of an array for each.

    Attributes:
        names: of the instructions.
        code: int64 [steps, 6], as `alula.cost.kernels.trace` has it; cycles are left out.
        sources: int64 [steps, fields, 2], as there.
        meetings: int64 [steps, 3]: engine, the engines that it waits for, those that it signals.
        groups: steps of engines, by instruction and choices.
        group_of: int64 [steps]: which of them a step is of; -1: none, it is of the sequencer.
        chunk_loop: address of the loop over chunks; -1: there is none.
    """

    names: tuple[str, ...]
    code: np.ndarray
    sources: np.ndarray
    meetings: np.ndarray
    groups: tuple[Group, ...]
    group_of: np.ndarray
    chunk_loop: int

    def timed(self, issue: Mapping[str, int]) -> np.ndarray:
        """Return `code` with the sequencer's cycles of each instruction, by its name."""
        code = self.code.copy()
        code[:, trace.COST] = [issue[name] for name in self.names]
        return code


def listing(program: Program) -> Listing:
    """Return a program's steps."""
    ops = program.ops
    code = np.zeros((len(ops), 6), np.int64)
    sources = np.zeros((len(ops), FIELDS, 2), np.int64)
    meetings = np.zeros((len(ops), 3), np.int64)
    group_of = np.full(len(ops), -1)
    groups: dict[object, tuple[int, Group]] = {}
    for address, op in enumerate(ops):
        instruction = op.instruction
        masks = (sum(1 << engine for engine in engines) for engines in (op.wait, op.signal))
        meetings[address] = instruction.engine, *masks
        names = OPERANDS[instruction.name]
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
            if key not in groups:
                groups[key] = len(groups), Group(instruction, _known(fixed))
            group_of[address] = groups[key][0]
    chunk_loop = _mark_loops(program, ops, code)
    names = tuple(op.name for op in ops)
    made = tuple(group for _, group in groups.values())
    return Listing(names, code, sources, meetings, made, group_of, chunk_loop)


def issue_cycles(known: Mapping[str, int]) -> dict[str, int]:
    """Return the sequencer's cycles of each instruction by its name; of a LOOP as it is entered."""
    found = {}
    for name, instruction in BY_NAME.items():
        if instruction.engine is Engine.SYS:
            found[name] = instruction.cycles.formula({**known, "count": 0})
        else:
            found[name] = DISPATCH({**known, "OPERANDS": len(OPERANDS[name])})
    return found


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
