"""A machine with text for programs, and numbers for its buffers."""

import re
from collections.abc import Mapping
from typing import Any

import numpy as np

from alula.design import Design, load_design
from alula.isa import Program, assemble, encode_all
from alula.model import Counters, Machine

KV260 = load_design("kv260")
ODD = load_design("u280").replace(
    {
        "cores": 1,
        "memory.channels": 3,
        "memory.beat_bytes": 16,
        "memory.capacity_mib": 3,
        "mpe.tokens": 2,
        "sfu.lanes": 4,
        "buffers.stream_kib": 2,
        "buffers.vector_kib": 1024,
    }
)
"""Six rows in a row block, three channels, four lanes."""
NARROW = load_design("tiny").replace(
    {"memory.beat_bytes": 8, "memory.channels": 1, "memory.capacity_mib": 1, "sfu.lanes": 8}
)
"""One row in a row block: a row's 16 values take two beats."""
DESIGNS = [KV260, load_design("tiny"), load_design("u280"), ODD, NARROW]
NAMES = ["kv260", "tiny", "u280", "odd", "narrow"]


def read_bytes(machine: Machine, beat: int, count: int) -> np.ndarray:
    """`count` bytes of memory from the start of a beat."""
    beats = -(-count // machine.design.bytes_per_cycle)
    return machine.read(beat, beats).reshape(-1)[:count]


def program(
    design: Design,
    text: str,
    *,
    inputs: Mapping[str, int] | None = None,
    constants: Mapping[int, int] | None = None,
    **fields: Any,
) -> Program:
    """A listing, with END if it has none.

    MM and MV may say `blocks`, as LD.W does: that many row blocks full of outputs.
    """
    text = re.sub(
        r"^(\s*M[MV] .*?)\bblocks=(\d+)",
        lambda found: f"{found[1]}outputs={int(found[2]) * design.rows}",
        text,
        flags=re.MULTILINE,
    )
    if "END" not in text.split():
        text += "\nEND"
    code = encode_all(assemble(text))
    return Program("test", design.hash, code, constants or {}, inputs or {}, **fields)


class Bench:
    """A machine whose vector buffer is set and read in elements."""

    def __init__(self, design: Design = KV260) -> None:
        self.design = design
        self.machine = Machine(design)
        self.lanes = design.sfu.lanes

    def run(self, text: str, **constants: int) -> Counters:
        """Run a listing; constants are named r1, r2 ..."""
        registers = {int(name[1:]): value for name, value in constants.items()}
        return self.machine.run(program(self.design, text, constants=registers), {})

    def words(self, elements: int) -> int:
        """Words of so many elements."""
        return -(-elements // self.lanes)

    def put(self, word: int, values: np.ndarray) -> None:
        """Set elements of the vector buffer; the rest of the last word is marked."""
        flat = np.asarray(values, np.float32).reshape(-1)
        vector = self.machine.state.vector
        start = word * self.lanes
        vector[start : start + self.words(flat.size) * self.lanes] = 77
        vector[start : start + flat.size] = flat

    def get(self, word: int, count: int) -> np.ndarray:
        """Elements of the vector buffer."""
        start = word * self.lanes
        return self.machine.state.vector[start : start + count].copy()
