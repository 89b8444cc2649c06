"""Runs a program without data: every operand of every instruction within its limits, or not.

Control flow and operands depend on the host's inputs and on the program alone, so the sequencer's
part can be run for many inputs at once, an array entry each.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from alula.codegen.extents import Extent, Extents, Fields, Values
from alula.codegen.phase import DECODE
from alula.design import GROUP, Design
from alula.ir.attention_blocks import BLOCK
from alula.isa import Op, Program, Ref
from alula.isa.fields import REGISTER_MASK, REGISTERS, Operand, RegisterField


@dataclass(frozen=True)
class Excess:
    """An operand beyond its limit: what it is, where, the worst value and the limit."""

    what: str
    origin: str
    value: int
    limit: int


class DryRun:
    """One program on one design for many inputs.

    Args:
        program: what is run.
        design: what it runs on.
        inputs: values of the program's inputs, all of one length.
    """

    def __init__(self, program: Program, design: Design, inputs: Mapping[str, Values]) -> None:
        count = len(inputs["tokens"])
        self._ops, self._origins = program.ops, program.origins
        self._registers = np.zeros((REGISTERS, count), np.int64)
        for register, value in program.constants.items():
            self._registers[register] = value
        for name, values in inputs.items():
            self._registers[program.inputs[name]] = values
        self._extents = Extents(design)
        self._worst: dict[str, Excess] = {}
        self._run(0, len(self._ops), np.ones(count, np.bool_))

    @property
    def excesses(self) -> Sequence[Excess]:
        """What is beyond its limit, the worst of each kind."""
        return list(self._worst.values())

    def _run(self, start: int, end: int, active: np.ndarray) -> None:
        at = start
        while at < end:
            op = self._ops[at]
            fields = self._fields(op)
            if op.name == "LOOP":
                body = int(fields["body"])
                count = np.broadcast_to(fields["count"], active.shape)
                for turn in range(int(count[active].max(initial=0))):
                    self._run(at + 1, at + 1 + body, active & (turn < count))
                at += body
            elif op.name in _ARITHMETIC:
                value = _ARITHMETIC[op.name](fields) & REGISTER_MASK
                rd = int(op.values["rd"])  # type: ignore[arg-type]
                self._registers[rd] = np.where(active, value, self._registers[rd])
            else:
                for extent in self._extents.of(op, fields):
                    self._compare(at, op, extent, active)
            at += 1

    def _fields(self, op: Op) -> Fields:
        fields: Fields = {}
        for field in op.instruction.fields:
            value = op.values[field.name]
            if isinstance(field, Operand):
                register, offset = value if isinstance(value, Ref) else (0, int(value))
                known = offset if register == 0 else self._registers[register] + offset
                value = known & REGISTER_MASK
            elif isinstance(field, RegisterField) and field.name != "rd":
                value = self._registers[int(value)]  # type: ignore[arg-type]
            fields[field.name] = value
        return fields

    def _compare(self, at: int, op: Op, extent: Extent, active: np.ndarray) -> None:
        over = np.maximum(extent.value - extent.most, extent.least - extent.value)
        if not np.any(over > 0):
            return
        over = np.where(active, over, 0)
        place = int(np.argmax(over))
        if over[place] <= 0:
            return
        parts = (extent.value, extent.most, extent.least)
        found, high, low = (int(np.broadcast_to(part, over.shape)[place]) for part in parts)
        what = f"{op.name} {extent.what}"
        known = self._worst.get(what)
        if known is None or over[place] > abs(known.value - known.limit):
            limit = high if found > high else low
            self._worst[what] = Excess(what, self._origins[at], found, limit)


_ARITHMETIC = {
    "LI": lambda fields: np.int64(fields["value"]),
    "SADD": lambda fields: fields["a"] + fields["b"],
    "SSUB": lambda fields: fields["a"] - fields["b"],
    "SMUL": lambda fields: fields["a"] * fields["b"],
    "SDIV": lambda fields: fields["a"] // np.maximum(fields["b"], 1),
    "SMIN": lambda fields: np.minimum(fields["a"], fields["b"]),
    "ARG": lambda fields: np.int64(0),
}


def lengths(
    context: int, chunk: int, tokens: int, *, blocks: bool = False
) -> list[tuple[int, int]]:
    """Positions and tokens of a chunk at which something begins or ends.

    Every operand grows with both, so its extremes are where a pass of `tokens` rows, a half of a
    chunk, a chunk, a group of positions or the context begins or ends. With `blocks`, where only
    some are attended to, operands also turn at the ends of blocks.
    """
    edges = {1, tokens, chunk // 2, chunk}
    counts = {edge + near for edge in edges for near in (-1, 0, 1)}
    found = set[tuple[int, int]]()
    for count in counts:
        last = context - count
        for start in (0, 1, GROUP - 1, GROUP, GROUP + 1, last // 2, last - 1, last):
            if 1 <= count <= chunk and 0 <= start <= last:
                found.add((start, count))
    if blocks:
        for edge in range(BLOCK, context, BLOCK):
            for count in {1, chunk}:
                starts = (edge - count, edge - 1, edge)
                found |= {(start, count) for start in starts if 0 <= start <= context - count}
    return sorted(found)


def dry_run(
    program: Program,
    design: Design,
    *,
    context: int,
    chunk: int,
    layers: Collection[int],
    blocks: bool = False,
) -> list[Excess]:
    """What a program asks for beyond its limits, at any length that it serves.

    A chunk goes through each of `layers`; two chunks and the first token of a third go through no
    layer, since layers see a chunk at a time. `blocks`: see `lengths`.
    """
    found_lengths = lengths(context, chunk, design.mpe.tokens, blocks=blocks)
    places = [(position, count, 1) for position, count in found_lengths]
    if program.name == DECODE:
        places = [place for place in places if place[1] == 1]
    else:
        longer = {min(context, chunk + 1), min(context, 2 * chunk + 1)}
        places += [(start, count, 0) for count in longer for start in {0, context - count}]
    found: dict[str, Excess] = {}
    for through in (1, 0):
        runs = [
            (position, count, embed, first, through, (count - 1) % chunk + 1)
            for position, count, layer in places
            if layer == through
            for first in sorted(layers)
            for embed in (int(first == 0),)
        ]
        if runs:
            names = ("position", "tokens", "embed", "first_layer", "layers", "head_rows")
            columns = dict(zip(names, np.array(runs, np.int64).T, strict=True))
            ones = np.ones(len(runs), np.int64)
            run = DryRun(program, design, columns | {"logits": ones, "hidden_out": ones})
            found |= {excess.what: excess for excess in run.excesses}
    return list(found.values())
