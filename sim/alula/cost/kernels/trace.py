"""The sequencer without data: which instructions a program dispatches, with which fields."""

import numpy as np

from alula.model.kernels.compiled import kernel

KIND, NOTED, LOOPS, TARGET, BODY, COST = range(6)
"""Columns of code: what a step is, whether it is noted, how it is looped, the register that it
writes, the instructions of its body, its cycles (of a loop, as it is entered)."""
OTHER, LOOP, LI, ADD, SUB, MUL, DIV, MIN, ZERO, END = range(10)
"""What a step is to the sequencer: register arithmetic by name; ZERO writes 0; OTHER nothing."""
PLAIN, LAYERS, CHUNKS = range(3)
"""Loops: run as they are; over layers, which are alike; over chunks, which grow evenly."""
REGISTER, OFFSET = range(2)
"""A field's source: R[register] + offset."""
ISSUE, WEIGHT, LAYER, TIMING = range(4)
"""Columns of timing: cycles of the sequencer up to a step, how often it stands for itself, and the
iteration of a loop over layers around it, -1 if there is none."""
MASK = 0xFFFFFFFF
SAME, EVERY = 4, 1 << 40
"""Iterations of a loop over layers that are run: so many, whose last two stand for the rest, or
all."""
_DEPTH = 4


@kernel()
def trace(
    code: np.ndarray,
    sources: np.ndarray,
    redirect: int,
    same: int,
    registers: np.ndarray,
    chunks: np.ndarray,
    shares: np.ndarray,
    places: np.ndarray,
    fields: np.ndarray,
    timing: np.ndarray,
) -> int:
    """Run a program's control flow; return the steps that are noted, -1: they are too many.

    Loops over layers and chunks are not run in full: what is run of them stands for the rest by
    its weight.

    Args:
        code: int64 [steps, 6]: the columns above.
        sources: int64 [steps, fields, 2]: where fields come from; of LI the offset is its value.
        redirect: cycles to leave the straight line.
        same: iterations of a loop over layers that are run.
        registers: int64 [32]: at the start; changed.
        chunks: int64 [n]: iterations of the loop over chunks that are run; empty: all.
        shares: float64 [n]: how many iterations each of them stands for.
        places: int64 [most], filled: the step of each that is noted.
        fields: int64 [most, fields], filled: its fields.
        timing: float64 [most, 3], filled: the columns above.
    """
    count, spent, at, depth, sample = 0, 0, 0, 0, 0
    # Of each loop around: its first step, the one behind it, iterations, those done, its kind.
    starts, ends = np.zeros(_DEPTH, np.int64), np.zeros(_DEPTH, np.int64)
    totals, done = np.zeros(_DEPTH, np.int64), np.zeros(_DEPTH, np.int64)
    loops, weights = np.zeros(_DEPTH, np.int64), np.ones(_DEPTH + 1)
    before = np.zeros((_DEPTH, registers.size), np.int64)
    values = np.zeros(fields.shape[1], np.int64)
    while True:
        kind = code[at, KIND]
        for field in range(values.size):
            base = registers[sources[at, field, REGISTER]]
            values[field] = (base + sources[at, field, OFFSET]) & MASK
        spent += code[at, COST]
        if kind == LOOP:
            body = code[at, BODY]
            if values[0] == 0 or body == 0:
                spent += redirect - 1
                at += body + 1
            else:
                starts[depth], ends[depth], loops[depth] = at + 1, at + 1 + body, code[at, LOOPS]
                totals[depth], done[depth] = values[0], 0
                before[depth] = registers
                weights[depth + 1] = weights[depth]
                if loops[depth] == CHUNKS and chunks.size:
                    sample = 0
                    weights[depth + 1] *= shares[0]
                depth += 1
                at += 1
                continue
        else:
            if code[at, NOTED]:
                if count == places.size:
                    return -1
                places[count] = at
                fields[count] = values
                timing[count, ISSUE], timing[count, WEIGHT] = spent, weights[depth]
                timing[count, LAYER] = -1
                for loop in range(depth):
                    if loops[loop] == LAYERS and timing[count, LAYER] < 0:
                        timing[count, LAYER] = done[loop]
                count, spent = count + 1, 0
            if kind == END:
                return count
            if code[at, TARGET]:
                registers[code[at, TARGET]] = _result(kind, values, sources[at, 0, OFFSET])
            at += 1
        while depth and at == ends[depth - 1]:
            loop = depth - 1
            spent += redirect
            done[loop] += 1
            left = totals[loop] - done[loop]
            skipped = 0
            if left and loops[loop] == LAYERS and totals[loop] > same:
                if done[loop] == same:
                    skipped = left
                elif done[loop] == same - 2:
                    weights[depth] = weights[loop] * (totals[loop] - same + 2) / 2
            elif left and loops[loop] == CHUNKS and chunks.size:
                sample += 1
                skipped = chunks[sample] - done[loop]
                weights[depth] = weights[loop] * shares[sample]
            for register in range(registers.size):
                change = registers[register] - before[loop, register]
                registers[register] = (registers[register] + skipped * change) & MASK
                before[loop, register] = registers[register]
            done[loop] += skipped
            if done[loop] == totals[loop]:
                depth -= 1
            else:
                at = starts[loop]


@kernel()
def _result(kind: int, values: np.ndarray, immediate: int) -> int:
    """What register arithmetic writes."""
    found = 0
    if kind == LI:
        found = immediate
    elif kind == ADD:
        found = values[0] + values[1]
    elif kind == SUB:
        found = values[0] - values[1]
    elif kind == MUL:
        found = values[0] * values[1]
    elif kind == DIV:
        found = values[0] // max(values[1], 1)
    elif kind == MIN:
        found = min(values[0], values[1])
    return found & MASK
