"""What the instructions of a trace take of their engines, by the contract's formulas."""

import math
from typing import Any

import numpy as np

from alula.cost.fitted import FITTED
from alula.cost.kernels import timeline
from alula.cost.listing import OPERANDS, Listing
from alula.cost.machine import TimedDesign
from alula.gateware.memory.bursts import WORTH
from alula.isa import Engine
from alula.isa.cycles import Cycles
from alula.isa.formula import ARRAYS
from alula.isa.instructions import Instruction

Known = dict[str, Any]
_PIECES, _PIECES_OF_STREAM = 8, 4
"""Pieces of a matrix, where it has as many row blocks; and at least of what fills the stream."""


def works(
    steps: Listing, machine: TimedDesign, places: np.ndarray, fields: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return what each step of a trace is, what it takes, and the bytes that it moves.

    Returns:
        kinds int64 [steps] and works float64 [steps, 7] as `timeline` takes them; moved int64
        [steps, 2], bytes read and written.
    """
    count = places.size
    kinds = np.full(count, timeline.SYSTEM)
    kinds[count - 1] = timeline.END
    found, moved = np.zeros((count, timeline.WORKS)), np.zeros((count, 2))
    base: Known = {**machine.known, **ARRAYS}
    owner = steps.group_of[places]
    order = np.argsort(owner, kind="stable")
    ends = np.searchsorted(owner[order], np.arange(len(steps.groups) + 1))
    for number, group in enumerate(steps.groups):
        rows = order[ends[number] : ends[number + 1]]
        if not rows.size:
            continue
        names = OPERANDS[group.instruction.name]
        values = {name: fields[rows, place] for place, name in enumerate(names)}
        known = {**base, **group.fixed, **values}
        kinds[rows] = _KINDS.get(group.instruction.name, timeline.SERIAL)
        if not group.instruction.fields:
            kinds[rows] = timeline.SYNC
        _fill(group.instruction, known, machine, found, moved, rows)
    return kinds, found, moved


def _fill(
    instruction: Instruction,
    known: Known,
    machine: TimedDesign,
    found: np.ndarray,
    moved: np.ndarray,
    rows: np.ndarray,
) -> None:
    """Fill in the rows of one group."""
    if instruction.name == "LD.W":
        _matrix(known, machine, found, moved, rows)
    elif instruction.engine in (Engine.MM, Engine.MV) and instruction.fields:
        _product(instruction.cycles, known, found, rows)
    elif instruction.engine is Engine.LD:
        _row(instruction, known, machine, found, moved, rows)
    else:
        found[rows, timeline.CYCLES] = _cycles(instruction.cycles, known)
        if instruction.engine is Engine.ST and instruction.fields:
            _stored(instruction, known, machine, found, moved, rows)


def _cycles(cycles: Cycles, known: Known) -> Any:
    """Cycles by the formula, or where a count is zero by that of nothing to do."""
    if cycles.idle is None:
        return cycles.formula(known)
    product = math.prod((known[name] for name in cycles.counts), start=np.int64(1))
    return np.where(product != 0, cycles.formula(known), cycles.idle(known))


def _matrix(
    known: Known, machine: TimedDesign, found: np.ndarray, moved: np.ndarray, rows: np.ndarray
) -> None:
    """LD.W: its beats, the places that it takes, and a request a row block where it has gaps."""
    blocks, groups, stride = (np.asarray(known[name]) for name in ("blocks", "groups", "stride"))
    strided = stride != 0
    beats = np.where(strided, blocks * known["beats"](1, groups), known["beats"](blocks, groups))
    found[rows, timeline.BEATS] = beats
    share = machine.share(known["FORMAT"], blocks, groups)
    pieces = np.maximum(np.minimum(blocks, _PIECES), np.ceil(_PIECES_OF_STREAM * share))
    found[rows, timeline.SHARE], found[rows, timeline.PIECES] = share, pieces
    found[rows, timeline.ASKS] = np.where(strided, (blocks - 1) * FITTED["ask_block"], 0)
    each = np.where(strided, known["beats"](1, groups), beats)
    found[rows, timeline.FIRST] = np.minimum(each, WORTH)
    moved[rows, 0] = beats * machine.beat_bytes


def _product(cycles: Cycles, known: Known, found: np.ndarray, rows: np.ndarray) -> None:
    """MM, MV: what a row block takes follows from the formula of one row block and of two."""
    block_rows, tokens = known["P"] * known["R"], known["T"]
    blocks = -(-np.asarray(known["outputs"]) // block_rows)
    passes = -(-np.asarray(known["rows"]) // tokens)
    full = known | {"rows": tokens}
    each = cycles.formula(full | {"outputs": 2 * block_rows}) - cycles.formula(
        full | {"outputs": block_rows}
    )
    alone = cycles.formula(known | {"PRODUCT": 0})
    found[rows, timeline.CYCLES] = blocks * passes * each
    found[rows, timeline.ASKS] = (passes - 1) * each
    found[rows, timeline.TAIL] = alone - blocks * passes * each


def _row(
    instruction: Instruction,
    known: Known,
    machine: TimedDesign,
    found: np.ndarray,
    moved: np.ndarray,
    rows: np.ndarray,
) -> None:
    """LD.V, LD.G, LD.SYNC: cycles of the data alone; LD.G first waits for the numbers of rows."""
    if not instruction.fields:
        return
    data = known | {"LOAD": 0, "LOAD_IDLE": 0}
    alone = _cycles(instruction.cycles, data | {"READ": 0})
    reads = _cycles(instruction.cycles, data | {"READ": 1}) - alone
    found[rows, timeline.CYCLES] = alone
    found[rows, timeline.ASKS] = (reads - 1) * machine.memory.read
    size = np.asarray(known["count"] if instruction.name == "LD.V" else known["len"])
    beats = -(-size * known["BYTES"] // machine.beat_bytes)
    if instruction.name == "LD.G":
        beats = known["count"] * beats + -(-4 * known["count"] // machine.beat_bytes)
    moved[rows, 0] = beats * machine.beat_bytes


def _stored(
    instruction: Instruction,
    known: Known,
    machine: TimedDesign,
    found: np.ndarray,
    moved: np.ndarray,
    rows: np.ndarray,
) -> None:
    """ST.KEY and ST.VALUE have bounds for formulas: what their runs take is fitted."""
    if instruction.name in ("ST.V", "ST.W"):
        moved[rows, 1] = 4 * known["count"] if instruction.name == "ST.V" else 4
        return
    heads, tokens, groups = (np.asarray(known[name]) for name in ("heads", "rows", "groups"))
    # A run of K is 16 values; one of V is what a channel's beat has of a position: half its chains.
    runs = 2 * groups if instruction.name == "ST.KEY" else -(-64 * groups // machine.chains)
    writes = heads * tokens * (runs + 1)
    busy = known["STORE"] + machine.memory.write + writes * FITTED["run"]
    found[rows, timeline.BEATS] = writes / machine.channels
    found[rows, timeline.CYCLES] = np.where(heads * tokens * groups, busy, known["STORE_IDLE"])
    moved[rows, 1] = heads * tokens * (32 * groups + 2)


_KINDS = {
    "LD.W": timeline.MATRIX,
    "LD.V": timeline.ROWS,
    "LD.G": timeline.ROWS,
    "MM": timeline.PRODUCT,
    "MV": timeline.PRODUCT,
}
