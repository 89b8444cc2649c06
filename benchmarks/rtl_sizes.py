"""How large modules are before they are mapped: registers, and word-level logic by its bits.

That takes seconds where synthesis takes minutes. What a class of modules takes of a chip is nearly
proportional to it, so that a few synthesised designs say how much, and many emitted ones how it
grows.
"""

import json
import tempfile
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

from alula.synth.netlists import sources
from alula.synth.tools import Tool
from alula.synth.verilog import SHALLOW

LIMIT_S = 600
_STEPS = (
    "design -reset",
    "read_verilog {0}_stubs.v {0}_module.v",
    "hierarchy -top {1}",
    "proc",
    "flatten",
    "opt_expr",
    "opt_merge",
    "opt_clean",
    "wreduce",
    "memory_collect",
    "opt_clean",
    "write_json {0}.json",
)
_BIT = {
    "$add": 1.0,
    "$sub": 1.0,
    "$neg": 1.0,
    "$and": 0.3,
    "$or": 0.3,
    "$xor": 0.3,
    "$xnor": 0.3,
    "$mux": 0.4,
}
"""LUTs of a bit of a result, about: what is left is fitted."""
_OPERAND = {"$eq": 1 / 3, "$ne": 1 / 3, "$lt": 0.5, "$le": 0.5, "$gt": 0.5, "$ge": 0.5}
"""LUTs of a bit of the wider operand."""
_SHIFTS = ("$shl", "$shr", "$sshl", "$sshr", "$shift", "$shiftx")
_RAM_WORDS, _RAM_BITS, _RAM_LUTS = 32, 14, 8
"""Of the memory that eight LUTs make."""


def rtl_sizes(
    modules: Mapping[str, str], names: Collection[str], tool: Tool
) -> dict[str, tuple[int, float]]:
    """Return bits of registers and LUTs, roughly, of some of a design's modules, by name."""
    with tempfile.TemporaryDirectory(prefix="alula-sizes-") as temporary:
        folder, steps = Path(temporary), []
        for number, name in enumerate(names):
            for file, text in sources(name, modules).items():
                (folder / f"{number}_{file}").write_text(text, encoding="utf-8")
            steps += [step.format(number, name) for step in _STEPS]
        tool.run(["-q", "-p", "; ".join(steps)], folder=folder, limit_s=LIMIT_S)
        found = {}
        for number, name in enumerate(names):
            written = json.loads((folder / f"{number}.json").read_text(encoding="utf-8"))
            cells = written["modules"][name]["cells"].values()
            registers = sum(_parameter(cell, "WIDTH") for cell in cells if "dff" in cell["type"])
            found[name] = registers, round(sum(map(_logic, cells)), 1)
        return found


def _parameter(cell: Mapping[str, Any], name: str) -> int:
    return int(cell["parameters"][name], 2)


def _logic(cell: Mapping[str, Any]) -> float:
    """LUTs of a cell, about."""
    kind = cell["type"]
    if kind == "$mux":
        return _BIT[kind] * _parameter(cell, "WIDTH")
    if kind in _BIT:
        return _BIT[kind] * _parameter(cell, "Y_WIDTH")
    if kind == "$pmux":
        return _BIT["$mux"] * _parameter(cell, "WIDTH") * _parameter(cell, "S_WIDTH")
    if kind in _OPERAND:
        return _OPERAND[kind] * max(_parameter(cell, "A_WIDTH"), _parameter(cell, "B_WIDTH"))
    if kind in _SHIFTS:
        bits, by = _parameter(cell, "Y_WIDTH"), _parameter(cell, "B_WIDTH")
        return _BIT["$mux"] * (1 << by if bits == 1 else bits * by)
    if kind.startswith("$reduce") or kind == "$logic_not":
        return _parameter(cell, "A_WIDTH") / 6
    if kind in ("$mem", "$mem_v2") and _parameter(cell, "SIZE") <= SHALLOW:
        wide = -(-_parameter(cell, "WIDTH") // _RAM_BITS)
        return float(_RAM_LUTS * wide * -(-_parameter(cell, "SIZE") // _RAM_WORDS))
    return 0.0
