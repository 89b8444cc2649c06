"""The block memories that designs declare are those in their Verilog."""

from collections import Counter

import pytest

from alula.design import load_design
from alula.design.memory_ports import KEPT
from alula.design.storage import SHALLOW
from alula.synth.verilog import instances, memories, verilog

pytestmark = pytest.mark.rtl


@pytest.mark.parametrize("name", ["kv260", "kv260-sparse", "nano", "nano-sparse", "tiny"])
def test_banks(name: str) -> None:
    design = load_design(name)
    modules = verilog(design)
    counts = instances(modules)
    found: Counter[tuple[int, int, int]] = Counter()
    for module, text in modules.items():
        for width, depth, piece in memories(text):
            found[width, depth, piece] += counts[module]
    declared: Counter[tuple[int, int, int]] = Counter()
    for bank in design.banks:
        declared[bank.width, bank.depth, bank.piece] += bank.copies
    # In what order the ports hand on what came is read without a clock: look-up tables.
    order = {(5, 1 << (design.memory.ports * KEPT - 1).bit_length(), 0)}
    deep = {bank: count for bank, count in found.items() if bank[1] > SHALLOW and bank not in order}
    assert deep == declared
