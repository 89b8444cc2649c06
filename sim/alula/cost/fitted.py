"""Cycles that neither the contract nor the gateware declares: found in RTL, kept as data.

They were read off programs of a few instructions, then moved until predictions of whole runs were
near: what one of them lacks another may have. `fitted.json` has the commit of the gateware that
they were found in, and the largest error of the model where nothing was fitted.
"""

import json
from pathlib import Path

_DATA = json.loads((Path(__file__).parent / "fitted.json").read_text(encoding="utf-8"))

COMMIT: str = _DATA["commit"]
"""Of the gateware that the numbers were found in."""
ERROR: float = _DATA["error"]
"""The largest error against RTL on points that were not fitted to, as a share of the cycles."""
FITTED: dict[str, float] = _DATA["cycles"]
"""Core cycles.

    ask_row, ask_matrix: LD has an instruction; its first read is before memory. Of a matrix `WORTH`
        beats must have found places in the stream besides, one a cycle.
    ask_block: between the reads of two row blocks, where they have a gap between them.
    held_row, held_matrix: until LD's asking side takes the next instruction.
    deliver: memory's last beat; the instruction is done.
    gap: no beat is taken between a row for the vector buffer and what follows.
    begin: a product is offered; its first block may pass. finish: beyond the contract's formula.
    started: a beat is there; the matrix engine has it.
    free: a beat is used; another may be asked for in its place.
    run: of some bytes of the KV cache, written one run after the other.
    ended: all engines are idle; the run is over.
"""
